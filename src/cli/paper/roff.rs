//! A help text as a man page (`man(7)`): `Title: words` and indented lines become sections.

use std::fmt::Write;

/// The page of `name` in `section`, of its help text: a sentence, `Usage:`, and blocks with titles.
pub(super) fn page(name: &str, section: u8, help: &str, see: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut blocks = help.split("\n\n").map(str::trim_end);
    let about = text(blocks.next().unwrap_or_default().trim_end_matches('.'));
    let upper = name.to_uppercase();
    let mut page = format!(".TH {upper} {section} \"\" \"{name} {version}\"\n.SH NAME\n{name} \\- {about}\n");
    for block in blocks {
        let (title, words) = block.split_once(':').unwrap_or(("Notes", block));
        // As `man-pages(7)` calls them.
        let title = match title {
            "Usage" => "Synopsis",
            "Exit codes" => "Exit status",
            title => title,
        };
        line(&mut page, &format!(".SH {}", text(&title.to_uppercase())));
        match title {
            "Synopsis" => {
                let lines: Vec<String> = words.lines().map(|usage| text(usage.trim())).collect();
                line(&mut page, &format!(".nf\n{}\n.fi", lines.join("\n")));
            }
            _ => words
                .lines()
                .filter(|words| !words.trim().is_empty())
                .for_each(|words| item(&mut page, words)),
        }
    }
    line(&mut page, &format!(".SH SEE ALSO\n{}", text(see)));
    page
}

/// `  --option VALUE  what it does` begins a paragraph of its own; every other line goes on with the last one.
fn item(page: &mut String, words: &str) {
    let indented = words.starts_with("  ") && !words.starts_with("   ");
    match words.trim().split_once("  ").filter(|_| indented) {
        Some((term, what)) => line(page, &format!(".TP\n.B {}\n{}", text(term), text(what.trim()))),
        None => line(page, &text(words.trim())),
    }
}

fn line(page: &mut String, words: &str) {
    // Writing into a string can't fail.
    writeln!(page, "{words}").ok();
}

/// Spelt so that roff prints it as it stands: a hyphen can be copied, and no line is taken for a request.
fn text(words: &str) -> String {
    let spelt = words.replace('\\', "\\e").replace('-', "\\-");
    match spelt.chars().next() {
        Some('.' | '\'') => format!("\\&{spelt}"),
        _ => spelt,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_a_section_for_each_block_and_a_paragraph_for_each_option() {
        let help = "Guards it.\n\nUsage: one --x\n       one\n\nOptions:\n  --x FILE  Do \\x\n            and go on\n  \
                    --y       .so\n\nSignals: HUP reads\nagain.\n";
        let page = page("one", 8, help, "two(1)");
        let expected = ".SH NAME\none \\- Guards it\n.SH SYNOPSIS\n.nf\none \\-\\-x\none\n.fi\n.SH OPTIONS\n.TP\n.B \
                        \\-\\-x FILE\nDo \\ex\nand go on\n.TP\n.B \\-\\-y\n\\&.so\n.SH SIGNALS\nHUP reads\nagain.\n\
                        .SH SEE ALSO\ntwo(1)\n";
        assert_eq!(page.split_once('\n').map(|(_, rest)| rest), Some(expected));
    }
}
