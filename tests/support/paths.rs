//! What servers behind the daemon might make of a path.

/// Every path that some server could take this for: decoded once and twice, overlong UTF-8 as what it imitates,
/// `\` as `/`, `;…` cut from each piece.
pub fn readings(path: &str) -> Vec<Vec<u8>> {
    let decode = |bytes: &[u8]| -> Vec<u8> {
        let (mut out, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let digits = bytes.get(at + 1..at + 3).and_then(|d| std::str::from_utf8(d).ok());
            match (bytes[at], digits.and_then(|d| u8::from_str_radix(d, 16).ok())) {
                (b'%', Some(byte)) => {
                    out.push(byte);
                    at += 3;
                }
                (byte, _) => {
                    out.push(byte);
                    at += 1;
                }
            }
        }
        out
    };
    let overlong = |bytes: &[u8]| -> Vec<u8> {
        let (mut out, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            match bytes[at..] {
                [a @ (0xc0 | 0xc1), b, ..] => {
                    out.push((a & 1) << 6 | b & 0x3f);
                    at += 2;
                }
                [0xe0, a, b, ..] if a < 0xa0 => {
                    out.push((a & 1) << 6 | b & 0x3f);
                    at += 3;
                }
                [0xf0, 0x80, a, b, ..] => {
                    out.push((a & 1) << 6 | b & 0x3f);
                    at += 4;
                }
                [byte, ..] => {
                    out.push(byte);
                    at += 1;
                }
                [] => break,
            }
        }
        out
    };
    let literal = path.as_bytes().to_vec();
    let (once, twice) = (decode(&literal), decode(&decode(&literal)));
    let mut all = vec![literal, once.clone(), twice.clone(), overlong(&once), overlong(&twice)];
    for at in 0..all.len() {
        let slashed: Vec<u8> = all[at].iter().map(|b| if *b == b'\\' { b'/' } else { *b }).collect();
        all.push(slashed);
    }
    for at in 0..all.len() {
        let cut: Vec<Vec<u8>> = all[at]
            .split(|b| *b == b'/')
            .map(|piece| piece.split(|b| *b == b';').next().unwrap().to_vec())
            .collect();
        all.push(cut.join(&b'/'));
    }
    all
}

/// Where a path leads once its dot segments are taken seriously.
pub fn resolves_inside(path: &[u8]) -> bool {
    let mut at: Vec<&[u8]> = Vec::new();
    for piece in path.split(|b| *b == b'/').skip(1) {
        match piece {
            b"" | b"." => {}
            b".." => {
                at.pop();
            }
            piece => at.push(piece),
        }
    }
    path.starts_with(b"/") && at.first() == Some(&&b"allowed"[..])
}
