//! Plain tables without borders. On a terminal the last column is wrapped to fit, and rows have colours.

use anstyle::Style;
use comfy_table::{ColumnConstraint, ContentArrangement, Table, presets::NOTHING};

use crate::output::STRONG;

/// The least room for the last column before the others must share.
const LAST_COLUMN: u16 = 24;

/// Rows under a header. The first column of a row is never empty.
pub(crate) fn table(
    header: &[&str],
    rows: impl IntoIterator<Item = (Vec<String>, Style)>,
    width: Option<u16>,
) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_header(header.to_vec());
    let mut styles = vec![STRONG];
    for (cells, style) in rows {
        table.add_row(cells);
        styles.push(style);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    if let (Some(width), Some((last, others))) = (width, table.column_max_content_widths().split_last()) {
        let others_need = others.iter().map(|width| width + 3).sum::<u16>();
        if others_need + last > width && others_need + LAST_COLUMN <= width {
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            let count = others.len();
            for column in table.column_iter_mut().take(count) {
                column.set_constraint(ColumnConstraint::ContentWidth);
            }
        }
    }
    painted(&table, &styles)
}

/// A line that begins with a space goes on with the row above it.
fn painted(table: &Table, styles: &[Style]) -> String {
    let mut styles = styles.iter();
    let mut style = Style::new();
    let lines = table.trim_fmt();
    let painted = lines.lines().map(|line| {
        if !line.starts_with(' ') {
            style = styles.next().copied().unwrap_or_default();
        }
        format!("{style}{line}{style:#}")
    });
    painted.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, why: &str) -> (Vec<String>, Style) {
        (vec![name.to_owned(), why.to_owned()], Style::new())
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_table_without_a_terminal_has_a_line_a_row() {
        let why = "words ".repeat(50);
        let text = plain(&table(&["NAME", "WHY"], [row("web", &why), row("db", "")], None));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(lines[0], "NAME   WHY");
        assert_eq!(lines[2], "db");
    }

    #[test]
    fn a_terminal_wraps_the_last_column_alone() {
        let why = "words ".repeat(50);
        let text = plain(&table(&["NAME", "WHY"], [row("a-long-name-of-a-cluster", &why)], Some(60)));
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert!(text.lines().count() > 4, "{text}");
        assert!(text.contains("a-long-name-of-a-cluster   words"), "{text}");
    }
}
