//! What shells ask a daemon for: the routes, names and values of `peergate run`, which no list that is made with the
//! program can hold.

use clap_complete::Shell;

/// Bash takes `=` and `:` for the ends of words; the line is cut at white space again. Nothing is expanded: words go
/// into an array as they come, quoted.
const BASH: &str = r#"
# What the caller may run, as the daemon says it.
_peergate_asked() {
    local line=${COMP_LINE:0:COMP_POINT} words last kept word
    read -r -a words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    last=${words[-1]}
    if [[ ${#words[@]} -lt 3 || ${words[1]} != run || $last == -* || ${words[-2]} == --socket || ${words[-2]} == --method ]]; then
        _peergate "$@"
        return
    fi
    kept=${last%"${last##*[=:]}"}
    COMPREPLY=()
    while IFS= read -r word; do
        [[ $word == *= ]] && compopt -o nospace 2>/dev/null
        word=${word#"$kept"}
        printf -v word %q "$word"
        COMPREPLY+=("$word")
    done < <("${words[0]}" run --candidates "${words[@]:2}" 2>/dev/null)
}
complete -F _peergate_asked -o bashdefault -o default peergate
"#;

/// `words` begins with `run` where this is called.
const ZSH: &str = r#"
# What the caller may run, as the daemon says it.
_peergate_asked() {
    local word
    local -a found
    found=("${(@f)$(peergate run --candidates "${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
    for word in $found; do
        if [[ $word == *= ]]; then compadd -S '' -- "$word"; else compadd -- "$word"; fi
    done
}
"#;

/// The completions of the whole tool, `text`, with those that are asked for.
pub(super) fn asking(shell: Shell, text: Vec<u8>) -> Vec<u8> {
    match (shell, String::from_utf8(text)) {
        (Shell::Bash, Ok(text)) => (text + BASH).into_bytes(),
        (Shell::Zsh, Ok(text)) => asked_in_zsh(&text).into_bytes(),
        (_, Ok(text)) => text.into_bytes(),
        (_, Err(error)) => error.into_bytes(),
    }
}

/// The functions go before the last lines, which call the first of them; the words of `run` ask them. The rest of the
/// words gets one colon: by two zsh would take all before the cursor off `words`, and nobody knew the route any more.
fn asked_in_zsh(text: &str) -> String {
    let is_asked = |line: &str| line.starts_with("'::target --") || line.starts_with("'*::values --");
    let line = |line: &str| match line.strip_suffix(":_default' \\") {
        Some(start) if is_asked(line) => {
            format!("{}:_peergate_asked' \\\n", start.replacen("'*::", "'*:", 1))
        }
        _ => format!("{line}\n"),
    };
    let text: String = text.lines().map(line).collect();
    match text.rfind("if [ \"$funcstack[1]\" = \"_peergate\" ]") {
        Some(end) => {
            let (functions, calls) = text.split_at(end);
            format!("{functions}{}\n{calls}", ZSH.trim_start())
        }
        None => text,
    }
}
