//! Tables for a terminal: aligned columns, no frames.

/// Rows under a heading, each column as wide as its widest cell, two spaces apart.
pub(super) fn table<const N: usize>(heading: [&str; N], rows: &[[String; N]]) -> String {
    let mut widths = heading.map(columns);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(columns(cell));
        }
    }
    let mut text = line(&heading, &widths);
    for row in rows {
        text.push_str(&line(&row.each_ref().map(String::as_str), &widths));
    }
    text
}

/// Names and values, one pair a line; pairs without a value are left out.
pub(super) fn pairs(pairs: &[(&str, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| columns(name) + 1).max().unwrap_or(0);
    let shown = pairs.iter().filter(|(_, value)| !value.is_empty());
    shown.fold(String::new(), |mut text, (name, value)| {
        text.push_str(&line(&[&format!("{name}:"), value], &[width, 0]));
        text
    })
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
}
