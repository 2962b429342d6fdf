//! Files that hold as much as they can at a time, or do the same again and again where each
//! time costs little by itself.

use std::fmt::Write as _;

use super::hostile::{Hostile, begun_objects, font_program, page_of_fonts, table, without_table};
use super::{Pdf, packed, packed_zeros, shown};

/// All of them.
pub(crate) const ALL: &[Hostile] = &[
    ("several limits together", together),
    ("letters that become sentences", sentences),
    ("a name of a font that is a book", long_font_name),
    ("a name of a glyph again and again", glyph_again_and_again),
    ("a lock that opens into itself", lock_in_itself),
    ("locked streams that lie over each other", locked_streams),
    ("fonts in use beyond those that are kept", fonts_in_use),
    ("forms that are open in each other", open_forms),
    ("numbers of packed objects", packed_numbers),
    ("a table of millions of places", places),
    ("numbers that lead to nothing", numbers),
    ("layers that are off", layers_off),
    ("layers of every page", layers_of_pages),
    (
        "a font with a list of millions of codes",
        millions_in_a_font,
    ),
    ("names of glyphs in many parts", names_in_parts),
    ("pages below pages", pages_below_pages),
    ("glyphs apart on a few pages", || {
        glyphs_apart_on_pages(190_000, 80)
    }),
    ("glyphs apart on many pages", || {
        glyphs_apart_on_pages(1_900, 5_000)
    }),
    ("bytes that repeat", repeated_bytes),
];

/// A file of two pages of which one is missing, so that it is gone through again.
fn with_one_missing(pdf: Pdf, page: usize) -> Vec<u8> {
    pdf.finish(&[page, 999_999])
}

/// Objects, packed objects, forms, fonts, glyphs and text: each near its own limit.
fn together() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let array = format!("[{}]", "0 ".repeat(400_000));
    let arrays = pdf.add(&array);
    let mut head = String::new();
    for n in 0..400_000 {
        let _ = write!(head, "{} 0 ", 10_000 + n);
    }
    let dictionary = format!("/Type /ObjStm /N 400000 /First {}", head.len());
    for _ in 0..12 {
        let content = packed(format!("{head}1 ").as_bytes());
        pdf.stream(&format!("{dictionary} /Filter /FlateDecode"), &content);
    }
    let rows = table("", &format!("<61> <{}>", "FDFA".repeat(32)));
    let letters = pdf.stream("", rows.as_bytes());
    let codes = many_codes(&mut pdf);
    let mut fonts = String::new();
    let mut content = String::from("q ");
    for n in 0..40 {
        let map = if n == 0 { letters } else { codes };
        let font = pdf.add(&format!(
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode {map} 0 R >>"
        ));
        let _ = write!(fonts, "/F{n} {font} 0 R ");
        let _ = write!(content, "BT /F{n} 1 Tf ET q ");
    }
    content.push_str("/X Do BT /F0 1 Tf ");
    content.push_str(&"(a)Tj 0 -2 Td ".repeat(390_000));
    content.push_str("ET");
    let blanks = packed_zeros(15 << 20);
    let mut below = pdf.stream("/Subtype /Form /Filter /FlateDecode", &blanks);
    let wide = packed(&[b"/X Do ".as_slice(), &vec![b' '; 15 << 20]].concat());
    for _ in 0..8 {
        let more = format!("/Resources << /XObject << /X {below} 0 R >> >>");
        below = pdf.stream(
            &format!("/Subtype /Form /Filter /FlateDecode {more}"),
            &wide,
        );
    }
    let content = pdf.stream("/Filter /FlateDecode", &packed(content.as_bytes()));
    let page = pdf.add(&format!(
        "<< /Type /Page /Parent 2 0 R /Contents {content} 0 R /Annots {arrays} 0 R \
         /Resources << /Font << {fonts} >> /XObject << /X {below} 0 R >> >> >>"
    ));
    with_one_missing(pdf, page)
}

fn sentences() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let rows = format!("<61> <{}>", "FDFA".repeat(32));
    let map = pdf.stream("", table("", &rows).as_bytes());
    let font = pdf.add(&format!(
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /ToUnicode {map} 0 R >>"
    ));
    let line = format!("({}) Tj 0 -12 Td ", "a".repeat(50));
    let content = format!("BT /F 10 Tf 72 700 Td {} ET", line.repeat(3_000));
    let content = pdf.stream("", content.as_bytes());
    let page = pdf.add(&format!(
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 -99999 612 792] /Contents {content} 0 R \
         /Resources << /Font << /F {font} 0 R >> >> >>"
    ));
    pdf.finish(&[page])
}

fn long_font_name() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let name = pdf.add(&format!("/{}", "A".repeat(20_000_000)));
    page_of_fonts(pdf, 1_000, |_| {
        format!("<< /Type /Font /Subtype /Type1 /BaseFont {name} 0 R >>")
    })
}

fn glyph_again_and_again() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let long = pdf.add(&format!("/{}", "a".repeat(10_000_000)));
    let parts = pdf.add(&format!("/{}", ["a"; 128].join("_")));
    let mut names = format!("0 {long} 0 R ").repeat(50_000);
    names.push_str(&format!("0 {parts} 0 R ").repeat(100_000));
    let encoding = pdf.add(&format!("<< /Differences [{names}] >>"));
    page_of_fonts(pdf, 200, |_| {
        format!("<< /Type /Font /Subtype /Type1 /BaseFont /X /Encoding {encoding} 0 R >>")
    })
}

fn lock_in_itself() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let first = pdf.add("null") + 1;
    for n in 0..4 {
        let next = first + n + 1;
        let entries = (0..1_000).fold(String::new(), |mut entries, key| {
            let _ = write!(entries, "/K{key} {next} 0 R ");
            entries
        });
        pdf.add(&format!("<< {entries} >>"));
    }
    pdf.add(&format!("({})", "x".repeat(1_000_000)));
    pdf.trailer(&format!("/Encrypt {first} 0 R"));
    let page = pdf.page("x", "");
    pdf.finish(&[page])
}

fn locked_streams() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let font = pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    let resources = format!("/Resources << /Font << /F {font} 0 R >> >>");
    let page = pdf.page(&shown(&[(72, 700, "x")]), &resources);
    let mut file = super::saved(&pdf.finish(&[page, page]), Some(""));
    let mut streams = Vec::new();
    let heads = 20_000;
    for n in 0..heads {
        let rest = 50 * (heads - 1 - n) + (2 << 20);
        let head = format!("{:7} 0 obj<</Length {rest:8}>>stream\n", 1_000 + n);
        streams.extend_from_slice(format!("{head:<50}").as_bytes());
    }
    streams.extend_from_slice(&vec![b'x'; 2 << 20]);
    streams.extend_from_slice(b"endstream endobj\n");
    let end = memchr::memmem::rfind(&file, b"startxref").unwrap_or(0);
    let rest = file.split_off(end);
    file.extend_from_slice(&streams);
    file.extend_from_slice(&rest);
    file
}

/// A table of all codes that fit into one.
fn many_codes(pdf: &mut Pdf) -> usize {
    let rows: String = (0..190_000).fold(String::new(), |mut rows, n| {
        let _ = write!(rows, "<{n:06x}><41>");
        rows
    });
    let codes = packed(table("", &rows).as_bytes());
    pdf.stream("/Filter /FlateDecode", &codes)
}

fn fonts_in_use() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let codes = many_codes(&mut pdf);
    let mut fonts = String::new();
    let mut content = String::new();
    for n in 0..50 {
        let font = pdf.add(&format!(
            "<< /Type /Font /Subtype /Type1 /BaseFont /X /ToUnicode {codes} 0 R >>"
        ));
        let _ = write!(fonts, "/F{n} {font} 0 R ");
        let _ = write!(content, "/F{n} 1 Tf q ");
    }
    let page = pdf.page(&content, &format!("/Resources << /Font << {fonts} >> >>"));
    pdf.finish(&[page])
}

fn open_forms() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let content = packed(&[b"/X Do ".as_slice(), &vec![b' '; 15 << 20]].concat());
    let mut below = pdf.stream("/Subtype /Form", b"");
    for _ in 0..12 {
        let more = format!("/Resources << /XObject << /X {below} 0 R >> >>");
        let dictionary = format!("/Subtype /Form /Filter /FlateDecode {more}");
        below = pdf.stream(&dictionary, &content);
    }
    let more = format!("/Resources << /XObject << /X {below} 0 R >> >>");
    let page = pdf.page("/X Do", &more);
    pdf.finish(&[page])
}

fn packed_numbers() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let page = pdf.page("BT ET", "");
    for part in 0..15 {
        let mut head = String::new();
        for n in 0..480_000 {
            let _ = write!(head, "{} 0 ", 1_000 + n + part);
        }
        let dictionary = format!("/Type /ObjStm /N 480000 /First {}", head.len());
        let content = packed(head.as_bytes());
        pdf.stream(&format!("{dictionary} /Filter /FlateDecode"), &content);
    }
    without_table(pdf.finish(&[page]))
}

fn places() -> Vec<u8> {
    let mut file = Pdf::of(&[&shown(&[(72, 700, "x")])]);
    let rows = packed(&[1, 0, 9].repeat(1_990_000));
    let place = file.len();
    let head = format!(
        "900 0 obj << /Type /XRef /W [1 2 0] /Index [1000 1990000] /Size 3000000 /Root 1 0 R \
         /Filter /FlateDecode /Length {} >> stream\n",
        rows.len()
    );
    file.extend_from_slice(head.as_bytes());
    file.extend_from_slice(&rows);
    let end = format!("\nendstream endobj\nstartxref\n{place}\n%%EOF");
    file.extend_from_slice(end.as_bytes());
    file
}

fn numbers() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let page = pdf.page("BT ET", "");
    let nested = begun_objects();
    pdf.add(&format!("{nested}\n<< {}", "1 ".repeat(8 << 20)));
    without_table(pdf.finish(&[page]))
}

fn layers_off() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let layer = pdf.add("<< /Type /OCG >>");
    let members = format!("{layer} 0 R ").repeat(4_096);
    let group = pdf.add(&format!("<< /Type /OCMD /OCGs [{members}] >>"));
    pdf.catalog(&format!(
        "/OCProperties << /OCGs [{layer} 0 R] /D << /OFF [{layer} 0 R] >> >>"
    ));
    let page = pdf.page(
        &"/OC /L BDC EMC ".repeat(1_000_000),
        &format!("/Resources << /Properties << /L {group} 0 R >> >>"),
    );
    pdf.finish(&[page])
}

fn layers_of_pages() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let all = (0..4_096).fold(String::new(), |mut all, n| {
        let _ = write!(all, "{} 0 R ", 100_000 + n);
        all
    });
    let all = pdf.add(&format!("[{all}]"));
    pdf.catalog(&format!(
        "/OCProperties << /D << /OFF {all} 0 R /ON {all} 0 R >> >>"
    ));
    let pages: Vec<usize> = (0..5_000).map(|_| pdf.page("", "")).collect();
    pdf.finish(&pages)
}

fn millions_in_a_font() -> Vec<u8> {
    let mut table = vec![0, 0, 0, 16];
    for _ in 0..16 {
        table.extend_from_slice(&[0, 3, 0, 10, 0, 0, 0, 4 + 8 * 16]);
    }
    let count = 7_000_000_u32;
    table.extend_from_slice(&[0, 10, 0, 0]);
    for number in [20 + 2 * count, 0, 0, count] {
        table.extend_from_slice(&number.to_be_bytes());
    }
    table.extend_from_slice(&[0, 1].repeat(count as usize));
    font_program(&[(b"cmap", &table)])
}

fn names_in_parts() -> Vec<u8> {
    let mut post = vec![0, 2, 0, 0];
    post.extend_from_slice(&[0; 28]);
    post.extend_from_slice(&65_535_u16.to_be_bytes());
    post.extend_from_slice(&258_u16.to_be_bytes().repeat(65_535));
    let name = ["a"; 128].join("_");
    post.push(u8::try_from(name.len()).unwrap_or(0));
    post.extend_from_slice(name.as_bytes());
    font_program(&[(b"post", &post)])
}

fn pages_below_pages() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let mut above = pdf.add("<< /MediaBox [0 0 1 1] >>");
    for _ in 0..64 {
        above = pdf.add(&format!(
            "<< /MediaBox [0 0 1 1] /CropBox [0 0 1 1] /Resources << >> /Rotate 0 /Parent {above} 0 R >>"
        ));
    }
    let mut page = 0;
    for _ in 0..400_000 {
        page = pdf.add(&format!("<< /Type /Page /Parent {above} 0 R >>"));
    }
    with_one_missing(pdf, page)
}

fn glyphs_apart_on_pages(glyphs: usize, pages: usize) -> Vec<u8> {
    let mut pdf = Pdf::default();
    let font = pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    let lines = format!("BT /F 1 Tf {} ET", "(a-)Tj 3 -2 Td ".repeat(glyphs));
    let content = pdf.stream("/Filter /FlateDecode", &packed(lines.as_bytes()));
    let resources = format!("/Resources << /Font << /F {font} 0 R >> >>");
    let pages: Vec<usize> = (0..pages)
        .map(|_| {
            pdf.add(&format!(
                "<< /Type /Page /Parent 2 0 R /Contents {content} 0 R {resources} \
                 /MediaBox [0 -9000000 9000000 9000000] >>"
            ))
        })
        .collect();
    pdf.finish(&pages)
}

fn repeated_bytes() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let runs = [129, b' '].repeat(500_000);
    let run = pdf.stream("/Filter /RunLengthDecode", &runs);
    let zeros = pdf.stream("/Filter /ASCII85Decode", &vec![b'z'; 8 << 20]);
    let both = [b"~".as_slice(), &packed_zeros(1 << 20)].concat();
    let odd = pdf.stream("/Filter [/LZW /A85 /RL /AHx]", &both);
    let parts = format!("{run} 0 R {zeros} 0 R {odd} 0 R ").repeat(2_000);
    let page = pdf.add(&format!(
        "<< /Type /Page /Parent 2 0 R /Contents [{parts}] >>"
    ));
    pdf.finish(&[page])
}
