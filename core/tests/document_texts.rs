//! What PDF files say in unusual ways, from files made by hand.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "documents/mod.rs"]
mod made;

use std::fmt::Write;

use credential_rotation::document::{DocumentKind, Limits, read};
use made::{Pdf, shown};

const HELVETICA: &str = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>";

fn text(file: &[u8]) -> String {
    read(file, Some("a.pdf"), &Limits::default())
        .unwrap()
        .text()
}

/// A page's text, its font made by the file.
fn with(content: &str, font: impl FnOnce(&mut Pdf) -> usize) -> String {
    let mut pdf = Pdf::default();
    let font = font(&mut pdf);
    let resources = format!("/Resources << /Font << /F {font} 0 R >> >>");
    let page = pdf.page(content, &resources);
    text(&pdf.finish(&[page]))
}

/// A page's text in Helvetica.
fn plain(content: &str) -> String {
    with(content, |pdf| pdf.add(HELVETICA))
}

/// A page that ends in `(after)`.
fn followed(content: &str) -> String {
    format!("{content} BT /F 10 Tf 72 600 Td (after) Tj ET")
}

#[test]
fn a_picture_in_the_page_hides_nothing_behind_it() {
    let picture = "q BI /W 2 /H 2 /BPC 8 /CS /G";
    for content in [
        "/F /AHx ID 00FF00FF>\nEI Q",
        "/F /AHx ID 00FF00FF>EI Q",
        "ID \u{1}\u{2}\u{3}\u{4}EI Q",
        // The letters in the picture itself.
        "ID EI Q\nEI Q",
        "ID \u{1}\u{2}\u{3}\u{4}\nEI Q BT(\u{1}\u{2}) pop ET",
        "/D [0 1] /I true ID \u{1}\u{2}\u{3}\u{4}\nEI Q",
        // It has no end.
        "ID \u{1}\u{2}\u{3}\u{4} Q",
    ] {
        assert_eq!(
            plain(&followed(&format!("{picture} {content}"))),
            "after",
            "{content}"
        );
    }
    assert_eq!(
        plain(&followed("BI /CS /GRID /W 2 /H 2 /BPC 8 ID 1234\nEI")),
        "after"
    );
}

#[test]
fn what_an_operation_has_too_much_or_too_little_of_spoils_it_not() {
    for content in [
        "BT /F 10 Tf 9 1 0 0 1 72 700 Tm (abc) Tj 5 0 -12 Td (def) Tj ET",
        "BT /F 10 Tf 72 700 Td [(abc)] Tj 0 -12 Td (def) TJ ET",
        "BT /F 10 Tf 72 700 Td [(ab) 10 (c) TJ 0 -12 Td (def) Tj ET",
        "BT /F 10 Tf 72 700 Td /P << /MCID 0 BDC (abc) Tj 0 -12 Td (def) Tj EMC ET",
    ] {
        assert_eq!(plain(content), "abc\ndef", "{content}");
    }
}

#[test]
fn fonts_of_pictures_have_the_size_that_is_seen() {
    for (unit, size, width, bounds) in [
        ("1", "1", "5", "0 -2 5 8"),
        ("0.01", "1", "500", "0 -200 500 800"),
        ("0.12", "1", "42", "0 -10 42 66"),
        ("0.01204", "9.96", "42", "0 -20 60 63"),
        ("0.001", "10", "500", "0 0 0 0"),
    ] {
        let content =
            format!("BT /F {size} Tf 1 0 0 1 72 700 Tm (ab) Tj 1 0 0 1 85 700 Tm (ba) Tj ET");
        let read = with(&content, |pdf| {
            let sign = pdf.stream("", format!("{width} 0 0 0 {width} {width} d1").as_bytes());
            pdf.add(&format!(
                "<< /Type /Font /Subtype /Type3 /FontMatrix [{unit} 0 0 {unit} 0 0] \
                 /FontBBox [{bounds}] /CharProcs << /a {sign} 0 R /b {sign} 0 R >> \
                 /Encoding << /Differences [97 /a /b] >> \
                 /FirstChar 97 /LastChar 98 /Widths [{width} {width}] >>"
            ))
        });
        assert_eq!(read, "ab ba", "{unit}");
    }
}

#[test]
fn lines_at_any_angle_are_whole_and_leave_the_others_in_order() {
    let slanted = [
        ("0.7071 0.7071 -0.7071 0.7071", "45"),
        ("0.5 0.866 -0.866 0.5", "60"),
        ("0.94 0.342 -0.342 0.94", "20"),
        ("-0.94 0.342 -0.342 -0.94", "160"),
        ("-1 0 0 1", "seen from behind"),
    ];
    for (matrix, angle) in slanted {
        let content = format!(
            "BT /F 10 Tf {matrix} 300 300 Tm 14 TL (watermark one) Tj T* (second line) Tj ET"
        );
        assert_eq!(plain(&content), "watermark one\nsecond line", "{angle}");
    }
    // A stamp at the side, and a heading that is drawn last.
    let page = shown(&[(72, 600, "body"), (72, 700, "heading")]);
    let stamp = "BT /F 20 Tf 0 1 -1 0 30 200 Tm (stamp) Tj ET";
    assert_eq!(
        plain(&format!("{stamp} {page}")),
        "stamp\n\nheading\n\nbody"
    );
}

/// Lines of a column from the top.
fn column(x: i32, side: &str) -> Vec<(i32, i32, String)> {
    let line = |at| (x, 700 - 12 * at, format!("{side} line of number {at}"));
    (0..4).map(line).collect()
}

fn drawn(lines: &[(i32, i32, String)]) -> String {
    lines.iter().fold(String::new(), |mut page, (x, y, text)| {
        let _ = writeln!(page, "BT /F 10 Tf {x} {y} Td ({text}) Tj ET");
        page
    })
}

#[test]
fn columns_are_read_one_after_the_other_however_they_are_drawn() {
    let (left, right) = (column(72, "left"), column(320, "right"));
    let lines = |of: &[(i32, i32, String)]| {
        let texts: Vec<&str> = of.iter().map(|(_, _, text)| &text[..]).collect();
        texts.join("\n")
    };
    let expected = format!("{}\n\n{}", lines(&left), lines(&right));
    let rows = left.iter().zip(&right);
    let by_rows: Vec<_> = rows.flat_map(|(l, r)| [l.clone(), r.clone()]).collect();
    assert_eq!(plain(&drawn(&by_rows)), expected);
    let right_first = [right.clone(), left.clone()].concat();
    assert_eq!(plain(&drawn(&right_first)), expected);
    let title = "BT /F 14 Tf 72 740 Td (A title that stands over both of the columns) Tj ET ";
    let titled = plain(&(title.to_owned() + &drawn(&by_rows)));
    assert!(titled.ends_with(&expected), "{titled}");
}

#[test]
fn a_hole_in_a_text_makes_no_columns_of_it() {
    let over = |y: i32| {
        (
            72,
            y,
            "a line that goes over all of the page from left to right".into(),
        )
    };
    let rows = column(72, "left").into_iter().zip(column(220, "right"));
    let mut lines: Vec<_> = vec![over(712)];
    lines.extend(rows.flat_map(|(left, right)| [left, right]));
    lines.push(over(652));
    let read = plain(&drawn(&lines));
    assert!(
        read.contains("left line of number 1 right line of number 1"),
        "{read}"
    );
}

#[test]
fn tables_are_read_row_by_row() {
    let row = |y: i32| {
        let cells = ["Iron", "kg", "12.50"].into_iter().zip([72, 200, 320]);
        cells
            .map(move |(cell, x)| (x, y, format!("{cell}{y}")))
            .collect::<Vec<_>>()
    };
    let rows: Vec<_> = [700, 688, 676, 664].into_iter().flat_map(row).collect();
    let read = plain(&drawn(&rows));
    assert!(
        read.starts_with("Iron700 kg700 12.50700\nIron688 kg688"),
        "{read}"
    );
}

#[test]
fn bullets_that_are_drawn_last_stand_before_their_lines() {
    let mut lines: Vec<_> = column(90, "item");
    lines.extend((0..4).map(|at| (74, 700 - 12 * at, "-".to_owned())));
    let read = plain(&drawn(&lines));
    assert!(
        read.starts_with("- item line of number 0\n- item line of number 1"),
        "{read}"
    );
}

#[test]
fn a_hyphen_that_stands_for_nothing_is_not_read() {
    let content = "BT /F 10 Tf 72 700 Td (hy) Tj /Span << /ActualText () >> BDC (-) Tj EMC \
                   0 -12 Td (phen) Tj ET";
    assert_eq!(plain(content), "hyphen");
}

#[test]
fn layers_are_read_as_the_file_has_them_on_or_off() {
    for (state, mark, seen) in [
        ("/OFF [LAYER]", "LAYER", false),
        ("/ON [LAYER]", "LAYER", true),
        ("/BaseState /OFF", "LAYER", false),
        ("/BaseState /OFF /ON [LAYER]", "LAYER", true),
        ("/OFF [LAYER]", "<< /Type /OCMD /OCGs [LAYER] >>", false),
        (
            "/OFF [LAYER]",
            "<< /Type /OCMD /OCGs LAYER /P /AllOff >>",
            true,
        ),
        (
            "/ON [LAYER]",
            "<< /Type /OCMD /OCGs [LAYER] /P /AllOff >>",
            false,
        ),
        (
            "/OFF [LAYER]",
            "<< /Type /OCMD /OCGs [LAYER] /P /AllOn >>",
            false,
        ),
        (
            "/ON [LAYER]",
            "<< /Type /OCMD /OCGs [LAYER] /P /AnyOff >>",
            false,
        ),
    ] {
        let mut pdf = Pdf::default();
        let font = pdf.add(HELVETICA);
        let layer = pdf.add("<< /Type /OCG /Name (x) >>");
        let with_layer = |text: &str| text.replace("LAYER", &format!("{layer} 0 R"));
        let (state, mark) = (with_layer(state), with_layer(mark));
        pdf.catalog(&format!(
            "/OCProperties << /OCGs [{layer} 0 R] /D << {state} >> >>"
        ));
        let look = pdf.stream(
            &format!("/Subtype /Form /Resources << /Font << /F {font} 0 R >> >>"),
            b"BT /F 10 Tf (note) Tj ET",
        );
        let page = pdf.page(
            "BT /F 10 Tf 72 700 Td (always) Tj ET \
             /OC /M BDC BT /F 10 Tf 72 600 Td (sometimes) Tj ET EMC",
            &format!(
                "/Resources << /Font << /F {font} 0 R >> /Properties << /M {mark} >> >> /Annots \
                 [<< /Subtype /Stamp /Rect [0 0 9 9] /OC {mark} /AP << /N {look} 0 R >> >>]"
            ),
        );
        let expected = if seen {
            "always\n\nsometimes\n\nnote"
        } else {
            "always"
        };
        assert_eq!(text(&pdf.finish(&[page])), expected, "{state} {mark}");
    }
}

#[test]
fn a_form_goes_on_with_the_font_of_the_page() {
    let mut pdf = Pdf::default();
    let font = pdf.add(HELVETICA);
    let form = pdf.stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 600 800]",
        b"BT 72 680 Td (form) Tj ET",
    );
    let resources =
        format!("/Resources << /Font << /F {font} 0 R >> /XObject << /X {form} 0 R >> >>");
    let page = pdf.page("BT /F 10 Tf 72 700 Td (page) Tj ET /X Do", &resources);
    assert_eq!(text(&pdf.finish(&[page])), "page\n\nform");
}

#[test]
fn a_field_without_a_look_is_read_by_its_value() {
    let mut pdf = Pdf::default();
    let font = pdf.add(HELVETICA);
    let group = pdf.add("<< /FT /Tx /V (filled in) >>");
    let field =
        format!("<< /Type /Annot /Subtype /Widget /Parent {group} 0 R /Rect [72 500 200 520] >>");
    let secret = "<< /Type /Annot /Subtype /Widget /FT /Tx /Ff 8192 /V (secret) \
                  /Rect [72 400 200 420] >>";
    let page = pdf.page(
        "BT /F 10 Tf 72 700 Td (page) Tj ET",
        &format!("/Resources << /Font << /F {font} 0 R >> >> /Annots [{field} {secret}]"),
    );
    assert_eq!(text(&pdf.finish(&[page])), "page\n\nfilled in");
}

#[test]
fn a_note_lies_where_its_rectangle_is_whatever_its_own_matrix() {
    let mut pdf = Pdf::default();
    let font = pdf.add(HELVETICA);
    let look = pdf.stream(
        &format!(
            "/Subtype /Form /BBox [1000 1000 1100 1020] /Matrix [1 0 0 1 -1000 -1000] \
             /Resources << /Font << /F {font} 0 R >> >>"
        ),
        b"BT /F 10 Tf 1002 1005 Td (note) Tj ET",
    );
    let page = pdf.page(
        "BT /F 10 Tf 72 700 Td (above) Tj ET BT /F 10 Tf 72 500 Td (below) Tj ET",
        &format!(
            "/Resources << /Font << /F {font} 0 R >> >> /Annots \
             [<< /Subtype /Stamp /Rect [72 600 172 620] /AP << /N {look} 0 R >> >>]"
        ),
    );
    assert_eq!(text(&pdf.finish(&[page])), "above\n\nnote\n\nbelow");
}

#[test]
fn text_beside_the_page_is_not_on_it() {
    let places = [
        (72, 700, "inside"),
        (-500, 700, "left"),
        (72, 2_000, "above"),
    ];
    assert_eq!(plain(&shown(&places)), "inside");
    // Bounds that leave nothing are wrong.
    assert_eq!(plain(&shown(&[(72, 2_000, "above")])), "above");
}

#[test]
fn codes_mean_what_tables_programs_and_names_say() {
    let cjk = |encoding: &'static str, ordering: &'static str| {
        move |pdf: &mut Pdf| {
            let below = pdf.add(&format!(
                "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /DW 500 /CIDSystemInfo \
                 << /Registry (Adobe) /Ordering ({ordering}) /Supplement 0 >> >>"
            ));
            pdf.add(&format!(
                "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /{encoding} \
                 /DescendantFonts [{below} 0 R] >>"
            ))
        }
    };
    for (encoding, ordering, codes) in [
        ("UniJIS-UTF8-H", "Japan1", "E697A5E69CAC"),
        ("UniJIS-UTF16-H", "Japan1", "65E5672C"),
        ("UniJIS-UTF32-H", "Japan1", "000065E50000672C"),
        ("UniGB-UTF8-H", "GB1", "E697A5E69CAC"),
    ] {
        let content = format!("BT /F 10 Tf 72 700 Td <{codes}> Tj ET");
        assert_eq!(
            with(&content, cjk(encoding, ordering)),
            "日本",
            "{encoding}"
        );
    }
    let content = r"BT /F 10 Tf 72 700 Td (\001\002\003) Tj ET";
    let named = with(content, |pdf| {
        pdf.add(
            "<< /Type /Font /Subtype /Type1 /BaseFont /X /FirstChar 1 /Widths [500 500 500] \
             /Encoding << /Differences [1 /g41 /g42 /g4A] >> >>",
        )
    });
    assert_eq!(named, "ABJ");
    let greek = with("BT /F 10 Tf 72 700 Td (ab) Tj ET", |pdf| {
        pdf.add("<< /Type /Font /Subtype /TrueType /BaseFont /SymbolMT >>")
    });
    assert_eq!(greek, "αβ");
}

/// A font program whose glyphs from 1 on are the letters from A on.
fn program() -> Vec<u8> {
    let words = |words: &[u16]| {
        words
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect::<Vec<u8>>()
    };
    let mut head = vec![0; 54];
    head[18..20].copy_from_slice(&1_000_u16.to_be_bytes());
    head[12..16].copy_from_slice(&0x5F0F_3CF5_u32.to_be_bytes());
    let mut lines = vec![0; 36];
    lines[35] = 1;
    // One table for Unicode, with a range of letters and the one that ends all tables.
    let letters = words(&[
        0, 1, 3, 1, 0, 12, 4, 32, 0, 4, 4, 1, 0, 73, 0xFFFF, 0, 65, 0xFFFF, 0xFFC0, 1, 0, 0,
    ]);
    let tables = [
        (b"cmap", letters),
        (b"head", head),
        (b"hhea", lines),
        (b"maxp", words(&[0, 0x5000, 10])),
    ];
    let mut font = words(&[1, 0, 4, 0, 0, 0]);
    let mut data = Vec::new();
    for (name, table) in tables {
        font.extend_from_slice(name);
        for number in [0, 12 + 4 * 16 + data.len(), table.len()] {
            font.extend_from_slice(&u32::try_from(number).unwrap().to_be_bytes());
        }
        data.extend(table);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    font.extend(data);
    font
}

#[test]
fn what_a_table_leaves_out_the_font_program_says() {
    for table in [
        "begincmap endcmap",
        "begincmap 2 beginbfchar <0001> <> <0002> <0042> endbfchar endcmap",
        "begincmap 1 beginbfchar <0001> <0041> endbfchar endcmap",
    ] {
        let read = with("BT /F 10 Tf 72 700 Td <000100020003> Tj ET", |pdf| {
            let data = pdf.stream("", &program());
            let table = pdf.stream("", table.as_bytes());
            let below = pdf.add(&format!(
                "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /DW 500 /CIDToGIDMap /Identity \
                 /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> \
                 /FontDescriptor << /Flags 4 /FontFile2 {data} 0 R >> >>"
            ));
            pdf.add(&format!(
                "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H \
                 /DescendantFonts [{below} 0 R] /ToUnicode {table} 0 R >>"
            ))
        });
        assert_eq!(read, "ABC", "{table}");
    }
}

#[test]
fn a_text_that_speaks_of_the_mark_is_a_text() {
    let limits = Limits::default();
    let notes = read(b"A file begins with %PDF-1.7 if it is one.", None, &limits).unwrap();
    assert_eq!(notes.kind, DocumentKind::Text);
    let file = [
        b"\r\n\r\n".to_vec(),
        Pdf::of(&[&shown(&[(72, 700, "body")])]),
    ]
    .concat();
    assert_eq!(
        read(&file, Some("a.bin"), &limits).unwrap().kind,
        DocumentKind::Pdf
    );
}
