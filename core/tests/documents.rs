//! Documents as text, from files made by hand: what is read, and what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "documents/mod.rs"]
mod made;

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use credential_rotation::document::{
    Document, DocumentError, DocumentKind, Limits, read, read_path, read_with,
};
use made::{Pdf, composite, honest, hostile, packed, packed_zeros, pdf_with_font, saved, shown};

/// Texts at their places.
type Texts = &'static [(i32, i32, &'static str)];
/// Codes and what they mean.
type Table = &'static [(u16, &'static str)];

fn text(file: &[u8]) -> String {
    read(file, Some("a.pdf"), &Limits::default())
        .unwrap()
        .text()
}

fn refused(file: &[u8], limits: &Limits) -> DocumentError {
    read(file, Some("a.pdf"), limits).unwrap_err()
}

/// One page with a font of its own codes.
fn with_font(table: &[(u16, &str)], content: &str) -> Vec<u8> {
    let mut pdf = Pdf::default();
    let font = composite(&mut pdf, table);
    let page = pdf.page(
        content,
        &format!("/Resources << /Font << /F {font} 0 R >> >>"),
    );
    pdf.finish(&[page])
}

#[test]
fn pages_are_read_in_order_with_their_title() {
    let mut pdf = Pdf::default();
    let font = pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Times-Roman >>");
    let information = pdf.add("<< /Title <FEFF004200720065006100E9> >>");
    pdf.trailer(&format!("/Info {information} 0 R"));
    let resources = format!("/Resources << /Font << /F {font} 0 R >> >>");
    let pages: Vec<usize> = ["one", "two", "three"]
        .iter()
        .map(|word| {
            pdf.page(
                &shown(&[(72, 700, &format!("Page {word} here"))]),
                &resources,
            )
        })
        .collect();
    let file = pdf.finish(&pages);
    let whole = read(&file, None, &Limits::default()).unwrap();
    assert_eq!(whole.title.as_deref(), Some("Breaé"));
    assert_eq!(
        whole.text(),
        "Page one here\n\nPage two here\n\nPage three here"
    );
    assert_eq!(
        (whole.kind, whole.page_count, whole.words()),
        (DocumentKind::Pdf, 3, 9)
    );
    let limits = Limits {
        max_pages: Some(2),
        ..Limits::default()
    };
    let two = read(&file, None, &limits).unwrap();
    assert_eq!((two.pages.len(), two.page_count), (2, 3));
    let mut told = Vec::new();
    let stopped = read_with(&file, None, &limits, &mut |now| {
        told.push((now.bytes, now.pages, now.page_count));
        match now.pages {
            0 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    });
    assert_eq!(stopped.unwrap_err(), DocumentError::Cancelled);
    let bytes = file.len() as u64;
    assert_eq!(told, [(bytes, 0, 2), (bytes, 1, 2)]);
}

#[test]
fn words_lines_and_columns_are_found_by_their_places() {
    let rows: [(Texts, &str); 6] = [
        // Words that are placed one by one.
        (
            &[(72, 700, "alpha"), (100, 700, "beta"), (122, 700, "gamma")],
            "alpha beta gamma",
        ),
        // A word goes on in the next line.
        (
            &[(72, 700, "under-"), (72, 688, "stand it")],
            "understand it",
        ),
        // A name keeps its hyphen.
        (&[(72, 700, "Jean-"), (72, 688, "Paul")], "Jean-\nPaul"),
        // Columns are drawn one after the other, and so read.
        (
            &[
                (72, 700, "left one"),
                (72, 688, "left two"),
                (320, 700, "right one"),
                (320, 688, "right two"),
            ],
            "left one\nleft two\n\nright one\nright two",
        ),
        // A heading that was drawn last is read first.
        (
            &[(72, 600, "body text"), (72, 700, "Heading")],
            "Heading\n\nbody text",
        ),
        // Text that is drawn twice is there once.
        (
            &[(72, 700, "bold"), (72, 700, "bold"), (72, 688, "next")],
            "bold\nnext",
        ),
    ];
    for (texts, wanted) in rows {
        assert_eq!(text(&Pdf::of(&[&shown(texts)])), wanted);
    }
}

#[test]
fn what_typesetters_do_to_letters_is_undone() {
    // Kerning and justification by numbers, an accent drawn over its letter, bold by shift.
    let rows = [
        (
            "BT /F 10 Tf 72 700 Td [(W) 80 (or) -20 (ds) -300 (apart)] TJ ET",
            "Words apart",
        ),
        ("BT /F 10 Tf 72 700 Td 1 Tc (spread) Tj ET", "spread"),
        (
            "BT /F 10 Tf 72 700 Td (citt) Tj [(\\140) 350 (a)] TJ ET",
            "città",
        ),
        (
            "BT /F 10 Tf 72 700 Td (it\\222s \\223so\\224) Tj ET",
            "it’s “so”",
        ),
        ("BT /F 10 Tf 2 0 0 2 72 700 Tm (large) Tj ET", "large"),
        (
            "BT /F 10 Tf 0 1 -1 0 72 100 Tm (upwards here) Tj ET",
            "upwards here",
        ),
        (
            "/Span << /ActualText (whole) >> BDC BT /F 10 Tf 72 700 Td (w h o l e) Tj ET EMC",
            "whole",
        ),
        (
            "BT /F 10 Tf 72 700 Td (a) Tj ET BI /W 1 /H 1 ID \u{1}EI\u{2} EI BT /F 10 Tf 72 680 Td (b) Tj ET",
            "a\n\nb",
        ),
        (
            "BT /F 10 Tf 72 700 Td (x) ' 12 TL (y) ' T* (z) Tj ET",
            "x\ny\nz",
        ),
    ];
    for (content, wanted) in rows {
        assert_eq!(text(&Pdf::of(&[content])), wanted, "{content}");
    }
}

#[test]
fn letters_of_every_script_are_what_the_font_says() {
    let rows: [(Table, &str, &str); 4] = [
        (&[(1, "ﬁ"), (2, "n"), (3, "ﬀ")], "<000100020003>", "finff"),
        (
            &[(1, "日"), (2, "本"), (3, "語")],
            "<000100020003>",
            "日本語",
        ),
        // Written from right to left, drawn from left to right.
        (
            &[(1, "ם"), (2, "ו"), (3, "ל"), (4, "ש")],
            "<0001000200030004>",
            "שלום",
        ),
        (&[(1, "e\u{301}"), (2, "𝐱")], "<00010002>", "éx"),
    ];
    for (table, string, wanted) in rows {
        let content = format!("BT /F 10 Tf 72 700 Td {string} Tj ET");
        assert_eq!(text(&with_font(table, &content)), wanted);
    }
}

#[test]
fn a_turned_page_a_form_and_a_field_are_read() {
    let mut pdf = Pdf::default();
    let font = pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    let resources = format!("/Resources << /Font << /F {font} 0 R >>");
    let form = pdf.stream(
        &format!("/Type /XObject /Subtype /Form /BBox [0 0 100 20] {resources} >>"),
        b"BT /F 10 Tf 0 0 Td (in a form) Tj ET",
    );
    let look = pdf.stream(
        &format!("/Type /XObject /Subtype /Form /BBox [0 0 100 20] {resources} >>"),
        b"BT /F 10 Tf 0 0 Td (in a field) Tj ET",
    );
    let field = pdf.add(&format!(
        "<< /Type /Annot /Subtype /Widget /Rect [72 500 200 520] /AP << /N {look} 0 R >> >>"
    ));
    let page = pdf.page(
        "q 1 0 0 1 72 600 cm /X Do Q",
        &format!("{resources} /XObject << /X {form} 0 R >> >> /Annots [{field} 0 R]"),
    );
    // Its lines run upwards in the file, and across as it is looked at.
    let turned = pdf.page(
        "BT /F 10 Tf 0 1 -1 0 100 72 Tm (first) Tj ET BT /F 10 Tf 0 1 -1 0 112 72 Tm (second) Tj ET",
        &format!("{resources} >> /Rotate 90"),
    );
    let file = pdf.finish(&[page, turned]);
    assert_eq!(text(&file), "in a form\n\nin a field\n\nfirst\nsecond");
}

#[test]
fn filters_may_stand_elsewhere_and_parts_are_joined() {
    let mut pdf = Pdf::default();
    let font = pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    let filter = pdf.add("/ASCIIHexDecode");
    let hex: String = b"BT /F 10 Tf 72 700 Td (first) Tj"
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let first = pdf.stream(&format!("/Filter {filter} 0 R"), hex.as_bytes());
    let second = pdf.stream("", b"( second) Tj ET");
    let page = pdf.add(&format!(
        "<< /Type /Page /Parent 2 0 R /Contents [{first} 0 R {second} 0 R] \
         /Resources << /Font << /F {font} 0 R >> >> >>"
    ));
    assert_eq!(text(&pdf.finish(&[page])), "first second");
}

#[test]
fn a_locked_file_is_refused_and_one_that_opens_by_itself_is_read() {
    let file = Pdf::of(&[&shown(&[(72, 700, "secret words")])]);
    for (password, wanted) in [("", None), ("1234", Some("document_encrypted"))] {
        let locked = saved(&file, Some(password));
        let opened = read(&locked, None, &Limits::default());
        match wanted {
            None => assert_eq!(opened.unwrap().text(), "secret words"),
            Some(code) => {
                let error = opened.unwrap_err();
                assert_eq!(error.code(), code);
                assert!(error.to_string().contains("password"));
            }
        }
    }
}

#[test]
fn texts_are_read_as_they_are() {
    let read = |bytes: &[u8], name| read(bytes, Some(name), &Limits::default());
    let notes = read("# Salt\r\n\r\nOlder than *bread*.\n".as_bytes(), "n.md").unwrap();
    assert_eq!(
        (notes.title.as_deref(), notes.kind),
        (Some("Salt"), DocumentKind::Markdown)
    );
    assert_eq!(notes.text(), "# Salt\n\nOlder than *bread*.");
    let wide: Vec<u8> = [0xFF, 0xFE]
        .into_iter()
        .chain("Grüße 🔑".encode_utf16().flat_map(u16::to_le_bytes))
        .collect();
    assert_eq!(read(&wide, "a.txt").unwrap().text(), "Grüße 🔑");
    for name in ["README", "a.log", "a.csv", "a.tex"] {
        let plain = read("\u{feff}plain".as_bytes(), name).unwrap();
        assert_eq!(plain.text(), "plain", "{name}");
    }
}

#[test]
fn what_is_no_document_is_refused_by_what_it_is() {
    let scan = Pdf::of(&["q 100 0 0 100 0 0 cm /Im Do Q"]);
    let mut bad_text = b"caf".to_vec();
    bad_text.push(0xE9);
    let rows: [(&[u8], &str, &str, &str); 14] = [
        (b"", "a.pdf", "document_empty", "empty"),
        (b" \n ", "a.txt", "document_empty", "empty"),
        (b"PK\x03\x04rest", "a.pdf", "document_not_supported", "ZIP"),
        (
            b"hello there",
            "a.pdf",
            "document_not_supported",
            "plain text",
        ),
        (
            b"<!DOCTYPE html>",
            "a.pdf",
            "document_not_supported",
            "web page",
        ),
        (
            b"hello there",
            "a.docx",
            "document_not_supported",
            "looks like plain text, not like a word processor's document",
        ),
        (
            b"<!DOCTYPE html>",
            "a.RTF",
            "document_not_supported",
            "looks like a web page, not like an RTF file",
        ),
        (
            b"<html>",
            "a.html",
            "document_not_supported",
            "looks like a web page, not like a document",
        ),
        (
            b"hello there",
            "a.html",
            "document_not_supported",
            "under a name that says which",
        ),
        (
            &scan,
            "a.png",
            "document_not_supported",
            "looks like a PDF, not like a picture",
        ),
        (&scan, "a.md", "document_not_supported", "a PDF"),
        (b"a\0b", "a.txt", "document_not_supported", "binary"),
        (&bad_text, "a.txt", "document_damaged", "UTF-8"),
        (&scan, "a.pdf", "document_no_text", "OCR"),
    ];
    for (bytes, name, code, words) in rows {
        let error = read(bytes, Some(name), &Limits::default()).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(words), "{error}");
        assert_eq!(error.to_json()["code"], code);
    }
    let nowhere = read_path(std::path::Path::new("/nowhere/a.pdf"), &Limits::default());
    assert_eq!(nowhere.unwrap_err().code(), "document_unreadable");
    let small = Limits {
        max_bytes: 10,
        ..Limits::default()
    };
    assert_eq!(refused(&scan, &small).code(), "document_too_large");
}

#[test]
fn a_damaged_file_is_repaired_as_far_as_it_goes() {
    let file = Pdf::of(&[&shown(&[(72, 700, "still here")])]);
    let text_of = |bytes: &[u8]| text(bytes);
    // No table, a wrong place of it, garbage before it, nothing behind the pages.
    let table = file.windows(4).position(|w| w == b"xref").unwrap();
    assert_eq!(text_of(&file[..table]), "still here");
    let wrong = String::from_utf8(file.clone()).unwrap();
    let place = wrong.find("startxref").unwrap();
    let wrong = format!("{}startxref\n7\n%%EOF", &wrong[..place]);
    assert_eq!(text_of(wrong.as_bytes()), "still here");
    let mut before = b"garbage\n".to_vec();
    before.extend_from_slice(&file);
    assert_eq!(text_of(&before), "still here");
    // Cut anywhere, it gives text or says what is wrong.
    for part in 1..60 {
        let cut = &file[..file.len() * part / 60];
        let _ = read(cut, Some("a.pdf"), &Limits::default());
    }
}

/// A file of six pages, and where its objects begin.
fn six_pages() -> (Vec<u8>, Vec<usize>) {
    let contents: Vec<String> = (0..6)
        .map(|n| shown(&[(72, 700, &format!("page {n}"))]))
        .collect();
    let contents: Vec<&str> = contents.iter().map(String::as_str).collect();
    let file = Pdf::of(&contents);
    let starts = memchr::memmem::find_iter(&file, b" 0 obj").map(|at| {
        let line = file[..at].iter().rposition(|byte| *byte == b'\n');
        line.unwrap() + 1
    });
    let starts = starts.collect();
    (file, starts)
}

#[test]
fn pages_are_found_wherever_they_lie() {
    let whole = |file: &[u8]| {
        let read = read(file, Some("a.pdf"), &Limits::default()).unwrap();
        let pages: Vec<&str> = read.pages.iter().map(|page| page.text.as_str()).collect();
        let wanted = ["page 0", "page 1", "page 2", "page 3", "page 4", "page 5"];
        assert_eq!((&pages[..], read.page_count), (&wanted[..], 6));
        read.warnings
    };
    let (file, starts) = six_pages();
    // Something stands in front of one of them, and all that follow are elsewhere.
    for at in starts.iter().skip(1) {
        let mut moved = file.clone();
        drop(moved.splice(at..at, b"%more\n".iter().copied()));
        assert!(whole(&moved).is_empty());
    }
    // The catalog, or that and the tree of pages, are gone.
    let table = memchr::memmem::find(&file, b"xref\n0").unwrap();
    assert!(whole(&[&file[..starts[0]], &file[starts[1]..table]].concat()).is_empty());
    assert!(whole(&[&file[..starts[0]], &file[starts[2]..table]].concat()).is_empty());
    assert!(whole(&[&file[..starts[0]], &file[starts[2]..]].concat()).is_empty());
    // One of them is gone: that is said.
    let last = starts[starts.len() - 1];
    let less = [&file[..last], &file[table..]].concat();
    let read = read(&less, Some("a.pdf"), &Limits::default()).unwrap();
    assert_eq!((read.page_count, read.warnings.len()), (5, 1));
    assert!(read.warnings[0].contains("cannot be found"));
}

#[test]
fn pages_that_are_not_searched_for_are_told_of() {
    let (pdf, page) = pdf_with_font(&shown(&[(72, 700, "found")]));
    let mut file = pdf.finish(&[page, page]);
    // It has fewer pages than it says, and more objects than its table tells of.
    let end = memchr::memmem::rfind(&file, b"startxref").unwrap();
    let rest = file.split_off(end);
    for number in 100..200 {
        file.extend_from_slice(format!("{number} 0 obj 1 endobj\n").as_bytes());
    }
    file.extend_from_slice(&rest);
    let told = |objects| {
        let limits = Limits {
            objects,
            ..Limits::default()
        };
        let read = read(&file, Some("a.pdf"), &limits).unwrap();
        assert_eq!(read.text(), "found");
        read.warnings
            .concat()
            .contains("was not searched for pages")
    };
    assert!(told(50));
    assert!(!told(500));
}

#[test]
fn what_writers_get_wrong_is_forgiven() {
    let content = shown(&[(72, 700, "still here")]);
    let file = String::from_utf8(Pdf::of(&[&content])).unwrap();
    let length = format!("/Length {} ", content.len());
    let rows = [
        (length.as_str(), "/Length 9999 "),
        (&length, "/Length 5 "),
        (&length, "/Length 77 0 R "),
        (&length, "/Length (none) "),
        (&length, "/Filter [] "),
        (&length, "/Filter null "),
        ("\nendstream", "endstream"),
        ("\nendstream", ""),
        ("\nendobj", ""),
        ("stream\nBT", "stream \r\nBT"),
        ("/MediaBox [0 0 612 792]", "/MediaBox [0 0 6.1.2 --792]"),
        ("/MediaBox", "/Odd /MediaBox"),
        ("/MediaBox", "/Odd#zz word /MediaBox"),
        ("/MediaBox", "% word >>\n/MediaBox"),
        ("/MediaBox", "> ) ] /MediaBox"),
        ("/Type /Pages", ""),
        ("/Count 1", "/Count -7"),
        ("/Root 1 0 R", "/Root 3 0 R"),
        ("/Root 1 0 R", ""),
        ("xref\n0 ", "xref\n1 "),
        ("0000000000 65535 f", "0000000000 65535 x"),
        ("startxref", "startxxxx"),
    ];
    for (written, wrong) in rows {
        let wrong = file.replace(written, wrong);
        assert_ne!(wrong, file, "{written}");
        assert_eq!(text(wrong.as_bytes()), "still here", "{written}: {wrong}");
    }
    // Filters by their short names, and one that does nothing.
    let filters = [
        "/Filter /Fl",
        "/Filter [/Fl]",
        "/F [/Crypt /FlateDecode] /DP [<< /Name /Identity >> null]",
    ];
    for filter in filters {
        let (mut pdf, _) = pdf_with_font("");
        let content = pdf.stream(filter, &packed(content.as_bytes()));
        let page = pdf.add(&format!(
            "<< /Type /Page /Contents {content} 0 R /Resources << /Font << /F 3 0 R >> >> >>"
        ));
        assert_eq!(text(&pdf.finish(&[page])), "still here", "{filter}");
    }
}

#[test]
fn objects_are_read_from_streams_and_from_tables_in_streams() {
    let file = Pdf::of(&[&shown(&[(72, 700, "packed words")])]);
    for password in [None, Some("")] {
        let saved = saved(&file, password);
        assert_eq!(text(&saved), "packed words", "{password:?}");
        // And without its table.
        let end = memchr::memmem::rfind(&saved, b"startxref").unwrap();
        assert_eq!(text(&saved[..end]), "packed words", "{password:?}");
    }
}

#[test]
fn a_page_without_text_says_why() {
    let no_text = |file: &[u8]| match refused(file, &Limits::default()) {
        error @ DocumentError::NoText { .. } => error.to_string(),
        other => panic!("{other}"),
    };
    assert!(no_text(&Pdf::of(&["q Q"])).contains("scan"));
    // Signs that nobody can read.
    let unknown = with_font(&[(9, "x")], "BT /F 10 Tf 72 700 Td <00010002> Tj ET");
    assert!(no_text(&unknown).contains("fonts"));
    // A stream that breaks off before its text.
    let packed = packed(shown(&[(72, 700, "x")]).as_bytes());
    assert!(no_text(&hostile::page_of(packed[..12].to_vec())).contains("damaged"));
    // Where there is other text, it is a warning.
    let (mut pdf, page) = pdf_with_font(&shown(&[(72, 700, "here")]));
    let broken = pdf.stream("/Filter /FlateDecode", &packed[..12]);
    let second = pdf.add(&format!("<< /Type /Page /Contents {broken} 0 R >>"));
    let read = read(&pdf.finish(&[page, second]), None, &Limits::default()).unwrap();
    assert_eq!(read.warnings, ["page 2: a part of it is damaged"]);
}

#[test]
fn what_cannot_be_read_at_all_is_refused_at_once() {
    let marked = "\u{feff}\u{a0}\n".as_bytes();
    let error = read(marked, Some("a.txt"), &Limits::default()).unwrap_err();
    assert_eq!(error.code(), "document_empty");
    let none = Limits {
        max_pages: Some(0),
        ..Limits::default()
    };
    let file = Pdf::of(&[&shown(&[(72, 700, "x")])]);
    assert_eq!(refused(&file, &none).code(), "document_limit");
    // These have no end, or no beginning.
    let nothing = tempfile::tempdir().unwrap();
    for path in [nothing.path(), std::path::Path::new("/dev/zero")] {
        let error = read_path(path, &Limits::default()).unwrap_err();
        assert_eq!(error.code(), "document_unreadable");
    }
}

#[test]
fn prints_of_tables_are_read_however_many_cells_they_have() {
    // A debug build is some twenty times slower: it reads a part, with as small a limit.
    let part = if cfg!(debug_assertions) { 20 } else { 1 };
    let limits = Limits {
        operations: Limits::default().operations / part as u64,
        ..Limits::default()
    };
    for (pages, rows, columns) in [(5_000, 50, 10), (500, 200, 15), (200, 200, 40)] {
        let pages = pages / part;
        let file = honest::tables(pages, rows, columns);
        let read = read(&file, Some("a.pdf"), &limits).unwrap();
        assert_eq!(read.words(), pages * rows * columns);
        assert_eq!(read.warnings, [""; 0]);
    }
}

fn within(limit: Duration, file: &[u8], limits: &Limits) -> Result<Document, DocumentError> {
    let began = Instant::now();
    let read = read(file, Some("a.pdf"), limits);
    assert!(began.elapsed() < limit, "{:?}", began.elapsed());
    read
}

#[test]
fn hostile_files_cost_what_the_limits_say() {
    // A debug build is some twenty times slower.
    let patience = Duration::from_secs(60);
    let limits = Limits {
        operations: 200_000,
        ..Limits::default()
    };
    let font = "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>";
    // A page that unpacks to 300 MB.
    let mut pdf = Pdf::default();
    let bomb = pdf.stream("/Filter /FlateDecode", &packed_zeros(300 << 20));
    let page = pdf.add(&format!("<< /Type /Page /Contents {bomb} 0 R >>"));
    let error = within(patience, &pdf.finish(&[page]), &limits).unwrap_err();
    assert_eq!(error.code(), "document_limit");
    assert!(error.to_string().contains("bytes a stream"), "{error}");
    // Forms that show forms that show forms.
    let mut pdf = Pdf::default();
    let font = pdf.add(font);
    let mut below = pdf.stream(
        &format!("/Subtype /Form /Resources << /Font << /F {font} 0 R >> >>"),
        b"BT /F 9 Tf (ha) Tj ET",
    );
    for _ in 0..11 {
        below = pdf.stream(
            &format!("/Subtype /Form /Resources << /XObject << /X {below} 0 R >> >>"),
            &b"/X Do ".repeat(10),
        );
    }
    let page = pdf.page(
        "/X Do",
        &format!("/Resources << /XObject << /X {below} 0 R >> >>"),
    );
    let error = within(patience, &pdf.finish(&[page]), &limits).unwrap_err();
    assert_eq!(error.code(), "document_limit");
    // A form that shows itself, a tree that holds itself, arrays in arrays.
    let mut pdf = Pdf::default();
    let own = pdf.stream(
        "/Subtype /Form /Resources << /XObject << /X 3 0 R >> >>",
        b"/X Do",
    );
    let page = pdf.page(
        "/X Do",
        &format!("/Resources << /XObject << /X {own} 0 R >> >>"),
    );
    let file = pdf.finish(&[page, 2, page]);
    assert_eq!(
        within(patience, &file, &limits).unwrap_err().code(),
        "document_no_text"
    );
    for deep in [
        "[".repeat(200_000),
        "<<".repeat(200_000),
        "(".repeat(200_000),
    ] {
        let _ = within(patience, &Pdf::of(&[&deep]), &limits);
        let mut pdf = Pdf::default();
        let _ = pdf.add(&deep);
        let page = pdf.page("", "");
        let _ = within(patience, &pdf.finish(&[page]), &limits);
    }
    // Many pages, and many objects.
    let few = Limits {
        pages: 10,
        objects: 100,
        ..Limits::default()
    };
    let mut pdf = Pdf::default();
    let page = pdf.page("", "");
    let error = within(patience, &pdf.finish(&[page; 200]), &few);
    assert!(error.is_err());
    let mut pdf = Pdf::default();
    for _ in 0..500 {
        pdf.add("1");
    }
    let page = pdf.page("", "");
    let error = within(patience, &pdf.finish(&[page]), &few).unwrap_err();
    assert_eq!(error.code(), "document_limit");
    // No time at all.
    let hurried = Limits {
        time: Duration::ZERO,
        ..Limits::default()
    };
    let file = Pdf::of(&[&shown(&[(72, 700, "x")])]);
    assert_eq!(refused(&file, &hurried).code(), "document_limit");
}
