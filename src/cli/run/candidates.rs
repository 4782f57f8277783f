//! What the word under a shell's cursor can become: a route that the caller may call, a name that it has filled in, a
//! value where values are listed.

use super::offer::Offer;

/// Whole words, each to stand where the last of `words` stands.
pub(super) fn of(offers: &[Offer], words: &[String]) -> Vec<String> {
    let Some((last, before)) = words.split_last() else { return Vec::new() };
    let mut found = match before.split_first() {
        None => offers.iter().map(|offer| offer.route.clone()).collect(),
        Some((route, given)) => match offers.iter().find(|offer| offer.route == *route) {
            Some(offer) => fillings(offer, given, last),
            None => Vec::new(),
        },
    };
    // A shell prints them: a daemon that is not ours can't draw with them.
    found.retain(|word| word.starts_with(last.as_str()) && !word.chars().any(char::is_control));
    found
}

fn fillings(offer: &Offer, given: &[String], last: &str) -> Vec<String> {
    if let Some((name, _)) = last.split_once('=') {
        return offer.values(name).iter().map(|value| format!("{name}={value}")).collect();
    }
    let is_given =
        |name: &String| given.iter().any(|word| word.split_once('=').is_some_and(|(known, _)| known == name));
    offer.names().iter().filter(|name| !is_given(name)).map(|name| format!("{name}=")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn word_becomes_a_route_then_names_then_values() {
        let told = serde_json::json!({ "allowed": [
            { "route": "restart", "match": ["POST /u/{unit}"], "params": [
                { "name": "unit", "from": "path", "type": "one_of", "one_of": ["app.service", "a b", "x\u{1b}[m"] },
                { "name": "lines", "from": "query", "type": "int 1..9" } ] },
            { "route": "reload", "match": ["POST /r"] },
            { "route": "about", "match": ["GET /_peergate/whoami"] },
        ] });
        let offers = Offer::all(&told);
        let found = |line: &str| of(&offers, &line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(found("re"), ["restart", "reload"]);
        assert_eq!(found(""), ["restart", "reload", "about"]);
        assert_eq!(found("restart "), ["unit=", "lines="]);
        assert_eq!(found("restart unit="), ["unit=app.service", "unit=a b"]);
        assert_eq!(found("restart unit=a"), ["unit=app.service", "unit=a b"]);
        assert_eq!(found("restart unit=app.service l"), ["lines="]);
        assert_eq!(found("restart unit=app.service u"), Vec::<String>::new());
        assert_eq!(found("nothing "), Vec::<String>::new());
    }
}
