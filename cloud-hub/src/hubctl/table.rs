//! Tables for a terminal: aligned columns, no frames.

/// Rows under a heading, each column as wide as its widest cell, two spaces apart.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(columns);
    let rows: Vec<_> = rows.iter().map(|row| row.each_ref().map(|cell| plain(cell))).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(columns(cell));
        }
    }
    let mut text = line(&heading, &widths);
    for row in &rows {
        text.push_str(&line(&row.each_ref().map(String::as_str), &widths));
    }
    text
}

/// Names and values, one pair a line; pairs without a value are left out.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| columns(name) + 1).max().unwrap_or(0);
    let shown = pairs.iter().filter(|(_, value)| !value.is_empty());
    shown.fold(String::new(), |mut text, (name, value)| {
        text.push_str(&line(&[&format!("{name}:"), &plain(value)], &[width, 0]));
        text
    })
}

/// Text with everything written out that a terminal would obey, or that turns text around: control
/// characters and Unicode's line breaks and directions.
pub(super) fn plain(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if obeyed(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    out
}

fn line<const N: usize>(cells: &[&str; N], widths: &[usize; N]) -> String {
    let mut text = String::new();
    for (at, (cell, width)) in cells.iter().zip(widths).enumerate() {
        if at > 0 {
            text.push_str("  ");
        }
        text.push_str(cell);
        text.extend(std::iter::repeat_n(' ', width.saturating_sub(columns(cell))));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// How wide text is on a terminal, near enough: one column a character.
fn columns(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_lines_end_without_spaces() {
        let rows = [["a".into(), "12".into()], ["längst".into(), String::new()]];
        assert_eq!(table(["NAME", "N"], &rows), "NAME    N\na       12\nlängst\n");
        let shown = pairs(&[("name", "b-1".into()), ("gone", String::new()), ("seq", "7".into())]);
        assert_eq!(shown, "name:  b-1\nseq:   7\n");
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        let shown = pairs(&[("agent", "1\u{1b}[2J\n\u{202e}2".into())]);
        assert_eq!(shown, "agent:  1\\u{1b}[2J\\n\\u{202e}2\n");
        let rows = [["a\rb".into(), "c".into()]];
        assert_eq!(table(["X", "Y"], &rows), "X     Y\na\\rb  c\n");
    }
}
