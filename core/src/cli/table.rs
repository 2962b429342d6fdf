//! Rows in columns, for people.

use clap::builder::styling::AnsiColor;

use super::shell::{Shell, Stop, one_line};

/// A field of a row.
pub(super) struct Cell {
    text: String,
    colour: Option<AnsiColor>,
}

impl Cell {
    /// A credential's state, in the colour of what it means.
    pub(super) fn of_state(state: &str) -> Self {
        let colour = match state {
            "ready" | "busy" => AnsiColor::Green,
            "cooling" => AnsiColor::Yellow,
            "missing" => AnsiColor::BrightBlack,
            _ => AnsiColor::Red,
        };
        Self {
            text: one_line(state),
            colour: Some(colour),
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self {
            text: one_line(text.as_ref()),
            colour: None,
        }
    }
}

/// Prints rows under their heads. Empty fields are shown as `-`, so that every row
/// has the same number of words for programs that split it.
pub(super) fn print<const N: usize>(
    heads: [&str; N],
    rows: &[[Cell; N]],
    shell: &mut Shell<'_>,
) -> Result<(), Stop> {
    let shown = |cell: &Cell| {
        if cell.text.is_empty() {
            "-".to_owned()
        } else {
            cell.text.clone()
        }
    };
    let mut widths = heads.map(str::len);
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(shown(cell).chars().count());
        }
    }
    let line = |fields: Vec<String>| fields.join("  ").trim_end().to_owned();
    let pad = |text: &str, width: usize| format!("{text:<width$}");
    let head = heads
        .iter()
        .zip(widths)
        .map(|(head, width)| pad(head, width));
    writeln!(shell.out, "{}", line(head.collect()))?;
    for row in rows {
        let fields = row.iter().zip(widths).map(|(cell, width)| {
            let text = pad(&shown(cell), width);
            match cell.colour {
                Some(colour) => shell.tint(colour, &text),
                None => text,
            }
        });
        let fields = fields.collect();
        writeln!(shell.out, "{}", line(fields))?;
    }
    Ok(shell.out.flush()?)
}
