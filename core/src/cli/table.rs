//! Rows in columns, for people.

use clap::builder::styling::AnsiColor;

use super::shell::{Shell, Stop, one_line};

/// A field of a row.
pub(super) struct Cell {
    text: String,
    colour: Option<AnsiColor>,
}

impl Cell {
    /// A credential's, job's or queue's state, in the colour of what it means.
    pub(super) fn of_state(state: &str) -> Self {
        let colour = match state {
            "ready" | "busy" | "running" | "completed" => AnsiColor::Green,
            "cooling" | "waiting" | "delayed" | "paused" => AnsiColor::Yellow,
            "missing" | "cancelled" => AnsiColor::BrightBlack,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(terminal: bool, colours: bool) -> String {
        let mut out = Vec::new();
        let mut shell = Shell {
            input: &mut std::io::empty(),
            out: &mut out,
            err: &mut std::io::sink(),
            out_is_terminal: terminal,
            err_is_terminal: false,
            colours,
        };
        let rows = [
            ["é".into(), Cell::of_state("ready"), "a\x1b[2J\nb".into()],
            ["long".into(), Cell::of_state("cooling"), "".into()],
        ];
        print(["ID", "STATE", "REASON"], &rows, &mut shell).unwrap();
        String::from_utf8(out).unwrap()
    }

    const PLAIN: &str = "\
ID    STATE    REASON
é     ready    a [2J b
long  cooling  -
";

    #[test]
    fn columns_align_and_a_field_can_neither_break_a_row_nor_drive_a_terminal() {
        assert_eq!(shown(false, true), PLAIN);
        assert_eq!(shown(true, false), PLAIN);
    }

    #[test]
    fn on_a_terminal_a_state_has_its_colour_and_nothing_else_changes() {
        let coloured = shown(true, true);
        assert!(coloured.contains("\x1b[32mready"), "{coloured:?}");
        assert!(coloured.contains("\x1b[33mcooling"), "{coloured:?}");
        let bare = ["\x1b[32m", "\x1b[33m", "\x1b[0m"]
            .iter()
            .fold(coloured, |text, code| text.replace(code, ""));
        assert_eq!(bare, PLAIN);
    }
}
