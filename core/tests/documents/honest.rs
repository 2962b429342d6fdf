//! Files as large as honest ones are: what is counted against crowds lets them through.

use super::{Pdf, packed};

/// Contents that pages share.
const CONTENTS: usize = 10;

/// A print of tables: pages with so many rows of so many numbers.
pub(crate) fn tables(pages: usize, rows: usize, columns: usize) -> Vec<u8> {
    let mut pdf = Pdf::default();
    let font = pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    let back = format!("-{} -10 Td ", 40 * columns);
    let contents: Vec<usize> = (0..CONTENTS)
        .map(|page| {
            let row = |row: usize| {
                let cell = |cell: usize| format!("({})Tj 40 0 Td ", 1_000 + page + 7 * row + cell);
                (0..columns).map(cell).collect::<String>() + &back
            };
            let rows: String = (0..rows).map(row).collect();
            let content = format!("BT /F 8 Tf 20 {} Td {rows} ET", 10 * rows.len());
            pdf.stream("/Filter /FlateDecode", &packed(content.as_bytes()))
        })
        .collect();
    let bounds = format!("[0 0 {} 9000000]", 40 * columns + 40);
    let pages: Vec<usize> = contents
        .iter()
        .cycle()
        .take(pages)
        .map(|content| {
            pdf.add(&format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox {bounds} /Contents {content} 0 R \
                 /Resources << /Font << /F {font} 0 R >> >> >>"
            ))
        })
        .collect();
    pdf.finish(&pages)
}
