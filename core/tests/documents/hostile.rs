//! Files that ask for more than they may have: each is small, and costs whoever trusts it
//! seconds, gigabytes or the stack.

use std::fmt::Write as _;

use super::{Pdf, packed, packed_zeros, pdf_with_font, shown};

/// A file's name, and what makes it.
pub(crate) type Hostile = (&'static str, fn() -> Vec<u8>);

/// All of them.
pub(crate) const ALL: &[Hostile] = &[
    ("a chain of lengths", chain_of_lengths),
    ("one stream under many numbers", one_stream_many_numbers),
    (
        "one stream of objects under many numbers",
        one_object_stream_many_numbers,
    ),
    ("an array packed in a stream", || packed_array(30 << 20)),
    ("an array in a stream, a third of it", || {
        packed_array(6 << 20)
    }),
    ("an array in the file", plain_array),
    ("many streams of small arrays", many_packed_arrays),
    ("an announced crowd of objects", crowd_in_a_stream),
    ("objects in each other's comments", nested_comments),
    ("streams that lie over each other", overlapping_streams),
    ("tables that follow each other", chain_of_tables),
    ("a code that means a book", long_meaning),
    ("a glyph's endless name", long_glyph_name),
    ("replaced text again and again", || replaced(4_000, false)),
    ("replaced text in itself", || replaced(250, true)),
    ("thousands of fonts of one table", fonts_of_one_table),
    ("tables that begin with others", tables_on_tables),
    ("a table of codes without end", endless_table),
    ("a table that begins with others again and again", || {
        begins_again_and_again(100_000)
    }),
    ("one list of widths again and again", widths_again_and_again),
    ("objects that end in one comment", ends_in_a_comment),
    ("a font without a number", font_in_place),
    ("operands without an operator", operands),
    ("millions of codes", millions_of_codes),
    ("a font for every code there is", || {
        font_program(&[(b"cmap", &groups_of_all())])
    }),
    ("a font with overlapping segments", || {
        font_program(&[(b"cmap", &overlapping_segments())])
    }),
    (
        "a font that is thousands of glyphs long",
        long_list_of_glyphs,
    ),
    ("hyphens without end", hyphens),
    ("every glyph apart", glyphs_apart),
    ("a locked file of one object", locked),
    ("a tree of pages in itself", tree_in_itself),
    ("annotations of every page", shared_annotations),
    ("layers of every mark", layers),
    ("filters on filters", filters_on_filters),
    ("forms in forms", forms_in_forms),
    ("different forms", many_forms),
    ("a page that unpacks to too much", || {
        page_of(packed_zeros(300 << 20))
    }),
    ("one content for all pages", shared_content),
    ("arrays in arrays", || Pdf::of(&[&"[".repeat(1 << 20)])),
    ("dictionaries in dictionaries", deep_object),
];

fn chain_of_lengths() -> Vec<u8> {
    let (mut pdf, page) = pdf_with_font("BT /F 10 Tf (x) Tj ET");
    let first = pdf.add("null") + 1;
    for n in 0..20_000 {
        pdf.add(&format!(
            "<< /Length {} 0 R >> stream\nendstream",
            first + n + 1
        ));
    }
    pdf.add("0");
    pdf.finish(&[page])
}

/// A file whose table has 20,000 more numbers for the object of that number.
fn under_many_numbers(pdf: Pdf, page: usize, object: usize) -> Vec<u8> {
    let mut file = pdf.finish(&[page]);
    let head = format!("\n{object} 0 obj");
    let place = memchr::memmem::find(&file, head.as_bytes()).unwrap_or(0) + 1;
    let before = memchr::memmem::rfind(&file, b"xref\n0").unwrap_or(0);
    let table = file.len();
    let entries = format!("{place:010} 00000 n \n").repeat(20_000);
    let more = format!(
        "xref\n1000 20000\n{entries}trailer\n<< /Size 21000 /Root 1 0 R /Prev {before} >>\n\
         startxref\n{table}\n%%EOF\n"
    );
    file.extend_from_slice(more.as_bytes());
    file
}

fn one_stream_many_numbers() -> Vec<u8> {
    let (mut pdf, page) = pdf_with_font("BT /F 10 Tf (x) Tj ET");
    let big = pdf.stream("", &vec![b'x'; 1_000_000]);
    under_many_numbers(pdf, page, big)
}

fn object_stream(pdf: &mut Pdf, kind: &str, number: usize, body: &[u8]) -> usize {
    let head = format!("{number} 0 ");
    let content = [head.as_bytes(), body].concat();
    let dictionary = format!("/Type /{kind} /N 1 /First {}", head.len());
    pdf.stream(
        &format!("{dictionary} /Filter /FlateDecode"),
        &packed(&content),
    )
}

fn one_object_stream_many_numbers() -> Vec<u8> {
    let (mut pdf, page) = pdf_with_font("BT /F 10 Tf (x) Tj ET");
    let array = format!("[{}]", "0 ".repeat(100_000));
    let big = object_stream(&mut pdf, "ObjStm", 900, array.as_bytes());
    under_many_numbers(pdf, page, big)
}

/// A page whose annotations are object 900, which no table knows: all of the file is looked
/// through for it.
fn page_with_object_900(pdf: &mut Pdf) -> usize {
    pdf.page("BT ET", "/Annots 900 0 R /Resources 900 0 R")
}

pub(super) fn without_table(mut file: Vec<u8>) -> Vec<u8> {
    let table = memchr::memmem::rfind(&file, b"xref\n0").unwrap_or(0);
    file.truncate(table);
    file.extend_from_slice(b"trailer << /Root 1 0 R >>");
    file
}

fn packed_array(bytes: usize) -> Vec<u8> {
    let mut pdf = Pdf::default();
    let page = page_with_object_900(&mut pdf);
    let array = format!("[{}]", "0 ".repeat(bytes / 2));
    object_stream(&mut pdf, "ObjStm", 900, array.as_bytes());
    without_table(pdf.finish(&[page]))
}

fn plain_array() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let array = pdf.add(&format!("[{}]", "0 ".repeat(8 << 20)));
    let page = pdf.page("BT ET", &format!("/Annots {array} 0 R"));
    pdf.finish(&[page])
}

fn many_packed_arrays() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let page = pdf.page("BT ET", "");
    let array = format!("[{}]", "[]".repeat(600_000));
    for n in 0..30 {
        object_stream(&mut pdf, "ObjStm", 900 + n, array.as_bytes());
    }
    without_table(pdf.finish(&[page]))
}

fn crowd_in_a_stream() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let page = pdf.page("BT ET", "");
    let mut head = String::new();
    for n in 0..1_500_000 {
        let _ = write!(head, "{} 0 ", 10_000 + n);
    }
    let dictionary = format!("/Type /Obj#53tm /N 1500000 /First {}", head.len());
    let content = packed(format!("{head}1 ").as_bytes());
    pdf.stream(&format!("{dictionary} /Filter /FlateDecode"), &content);
    without_table(pdf.finish(&[page]))
}

/// Objects that begin, each within the comment of the one before.
pub(super) fn begun_objects() -> String {
    (0..50_000).fold(String::new(), |mut begun, n| {
        let _ = write!(begun, "{} 0 obj %", 1_000 + n);
        begun
    })
}

fn nested_comments() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let page = pdf.page("BT ET", "");
    let nested = begun_objects();
    pdf.add(&format!("{nested}{}\n1", " ".repeat(1 << 20)));
    without_table(pdf.finish(&[page]))
}

fn overlapping_streams() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let page = pdf.page("BT ET", "");
    let mut file = without_table(pdf.finish(&[page]));
    for n in 0..20_000 {
        let head = format!("{} 0 obj << /Length 1 >> stream\n", 1_000 + n);
        file.extend_from_slice(head.as_bytes());
    }
    file.extend_from_slice(&vec![b'x'; 2 << 20]);
    file
}

fn chain_of_tables() -> Vec<u8> {
    let mut file = Pdf::of(&[&shown(&[(72, 700, "x")])]);
    let entries = "0000000009 00000 n \n".repeat(200);
    let mut before = memchr::memmem::rfind(&file, b"xref\n0").unwrap_or(0);
    for _ in 0..3_000 {
        let place = file.len();
        let table = format!(
            "xref\n1000 200\n{entries}trailer << /Root 1 0 R /Prev {before} /XRefStm {place} >>\n"
        );
        file.extend_from_slice(table.as_bytes());
        before = place;
    }
    file.extend_from_slice(format!("startxref {before}\n%%EOF").as_bytes());
    file
}

/// A table from codes to text in the way of `bfchar`.
pub(super) fn table(begin: &str, rows: &str) -> String {
    format!(
        "begincmap {begin} 1 begincodespacerange <00> <FF> endcodespacerange \
         1 beginbfchar {rows} endbfchar endcmap"
    )
}

/// One page that shows these texts with a font of these entries.
fn page_with_font(mut pdf: Pdf, font: &str, content: &[u8]) -> Vec<u8> {
    let font = pdf.add(&format!("<< /Type /Font {font} >>"));
    let content = pdf.stream("/Filter /FlateDecode", &packed(content));
    let page = pdf.add(&format!(
        "<< /Type /Page /Parent 2 0 R /Contents {content} 0 R \
         /Resources << /Font << /F {font} 0 R >> >> >>"
    ));
    pdf.finish(&[page])
}

fn long_meaning() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let rows = format!("<61> <{}>", "0041".repeat(16_000));
    let map = packed(table("", &rows).as_bytes());
    let map = pdf.stream("/Filter /FlateDecode", &map);
    let font = format!("/Subtype /Type1 /BaseFont /Helvetica /ToUnicode {map} 0 R");
    let content = format!("BT /F 10 Tf 72 700 Td ({}) Tj ET", "a".repeat(1_000_000));
    page_with_font(pdf, &font, content.as_bytes())
}

fn long_glyph_name() -> Vec<u8> {
    let name = vec!["a"; 30_000].join("_");
    let font = format!("/Subtype /Type1 /BaseFont /X /Encoding << /Differences [97 /{name}] >>");
    let content = format!("BT /F 10 Tf 72 700 Td ({}) Tj ET", "a".repeat(500_000));
    page_with_font(Pdf::default(), &font, content.as_bytes())
}

fn replaced(times: usize, nested: bool) -> Vec<u8> {
    let mut pdf = Pdf::default();
    let font = pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    let mark = pdf.add(&format!("<< /ActualText ({}) >>", "A".repeat(4_000_000)));
    let content = match nested {
        true => "/Span /M BDC (a) Tj ".repeat(times) + &"EMC ".repeat(times),
        false => "/Span /M BDC (a) Tj EMC 0 -12 Td ".repeat(times),
    };
    let page = pdf.page(
        &format!("BT /F 10 Tf 72 700 Td {content} ET"),
        &format!("/Resources << /Font << /F {font} 0 R >> /Properties << /M {mark} 0 R >> >>"),
    );
    pdf.finish(&[page])
}

/// What stands below a font of Japanese.
const JAPANESE: &str = "<< /Subtype /CIDFontType0 /BaseFont /X /CIDSystemInfo << /Registry (Adobe) \
                        /Ordering (Japan1) /Supplement 6 >> >>";

/// A page that shows one letter in each of so many fonts.
pub(super) fn page_of_fonts(mut pdf: Pdf, count: usize, font: impl Fn(usize) -> String) -> Vec<u8> {
    let (mut names, mut content) = (String::new(), String::from("BT "));
    for n in 0..count {
        let font = pdf.add(&font(n));
        let _ = write!(names, "/F{n} {font} 0 R ");
        let _ = write!(content, "/F{n} 10 Tf (ab) Tj ");
    }
    let page = pdf.page(
        &(content + "ET"),
        &format!("/Resources << /Font << {names} >> >>"),
    );
    pdf.finish(&[page])
}

fn fonts_of_one_table() -> Vec<u8> {
    page_of_fonts(Pdf::default(), 3_000, |_| {
        format!(
            "<< /Type /Font /Subtype /Type0 /Encoding /90ms-RKSJ-H /DescendantFonts [{JAPANESE}] >>"
        )
    })
}

fn tables_on_tables() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let rows = table("/UniJIS-UTF16-H usecmap", "<61> <0041>");
    let map = pdf.stream("", rows.as_bytes());
    page_of_fonts(pdf, 3_000, |_| {
        format!("<< /Type /Font /Subtype /Type1 /BaseFont /X /ToUnicode {map} 0 R >>")
    })
}

fn endless_table() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let rows = "<61><41>".repeat((4 << 20) / 8 - 100);
    let map = packed(table("", &rows).as_bytes());
    let map = pdf.stream("/Filter /FlateDecode", &map);
    page_of_fonts(pdf, 100, |_| {
        format!("<< /Type /Font /Subtype /Type1 /BaseFont /X /ToUnicode {map} 0 R >>")
    })
}

fn begins_again_and_again(times: usize) -> Vec<u8> {
    let mut pdf = Pdf::default();
    let map = packed("/UniJIS-UTF32-H usecmap ".repeat(times).as_bytes());
    let map = pdf.stream("/Type /CMap /CMapName /X /Filter /FlateDecode", &map);
    page_of_fonts(pdf, 1, |_| {
        format!(
            "<< /Type /Font /Subtype /Type0 /Encoding {map} 0 R /DescendantFonts [{JAPANESE}] >>"
        )
    })
}

fn widths_again_and_again() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let list = pdf.add(&format!("[{}]", "1 ".repeat(200_000)));
    let widths = format!("0 {list} 0 R ").repeat(100_000);
    page_of_fonts(pdf, 1, |_| {
        format!(
            "<< /Type /Font /Subtype /Type0 /Encoding /Identity-H /DescendantFonts \
             [<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /W [{widths}] >>] >>"
        )
    })
}

fn ends_in_a_comment() -> Vec<u8> {
    let (mut pdf, page) = pdf_with_font("BT /F 10 Tf (x) Tj ET");
    pdf.add(&format!(
        "<< /Length 99999999 >> stream\n{}",
        "endobj%".repeat(500_000)
    ));
    let mut file = pdf.finish(&[page]);
    // So that the page is looked for from object to object.
    file.truncate(file.len() - 200);
    file
}

fn font_in_place() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let page = pdf.page(
        &format!("BT {} ET", "/F 10 Tf (a) Tj ".repeat(3_000)),
        &format!(
            "/Resources << /Font << /F << /Type /Font /Subtype /Type0 /Encoding /90ms-RKSJ-H \
             /DescendantFonts [{JAPANESE}] >> >> >>"
        ),
    );
    pdf.finish(&[page])
}

fn operands() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let open = pdf.stream("", b"[");
    let arrays = format!("[{}]", "0 ".repeat(65_000)).repeat(120);
    let arrays = pdf.stream("/Filter /FlateDecode", &packed(arrays.as_bytes()));
    let parts = format!("{arrays} 0 R ").repeat(14);
    let page = pdf.add(&format!(
        "<< /Type /Page /Parent 2 0 R /Contents [{open} 0 R {parts}] >>"
    ));
    pdf.finish(&[page])
}

fn millions_of_codes() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let map = pdf.stream(
        "",
        b"begincmap 1 begincodespacerange <00000000> <FFFFFFFF> endcodespacerange \
          1 begincidrange <00000000> <7FFFFFFF> 0 endcidrange endcmap",
    );
    let font = format!("/Subtype /Type0 /Encoding {map} 0 R /DescendantFonts [{JAPANESE}]");
    let mut content = String::from("BT /F 1 Tf <");
    for n in 0..1_900_000 {
        let _ = write!(content, "{n:08x}");
    }
    page_with_font(pdf, &font, (content + "> Tj ET").as_bytes())
}

/// A font program of these tables, beside those that every one has.
fn program(tables: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut head = vec![0; 54];
    head[18..20].copy_from_slice(&1_000_u16.to_be_bytes());
    let mut hhea = vec![0; 36];
    hhea[35] = 1;
    let maxp = [&0x5000_u32.to_be_bytes()[..], &65_535_u16.to_be_bytes()].concat();
    let mut all: Vec<(&[u8; 4], &[u8])> =
        vec![(b"head", &head), (b"hhea", &hhea), (b"maxp", &maxp)];
    all.extend_from_slice(tables);
    all.sort();
    let mut program = vec![
        0,
        1,
        0,
        0,
        0,
        u8::try_from(all.len()).unwrap_or(0),
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    let mut place = program.len() + 16 * all.len();
    let long = |number: usize| u32::try_from(number).unwrap_or(0).to_be_bytes();
    for (name, data) in &all {
        program.extend_from_slice(&name[..]);
        program.extend_from_slice(&long(0));
        program.extend_from_slice(&long(place));
        program.extend_from_slice(&long(data.len()));
        place += data.len();
    }
    for (_, data) in &all {
        program.extend_from_slice(data);
    }
    program
}

/// Twenty fonts with that program.
pub(crate) fn font_program(tables: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut pdf = Pdf::default();
    let data = packed(&program(tables));
    let data = pdf.stream("/Filter /FlateDecode", &data);
    let descriptor = pdf.add(&format!(
        "<< /Type /FontDescriptor /Flags 4 /FontFile2 {data} 0 R >>"
    ));
    page_of_fonts(pdf, 20, |_| {
        format!(
            "<< /Type /Font /Subtype /TrueType /BaseFont /X /FontDescriptor {descriptor} 0 R >>"
        )
    })
}

/// A table with one part for Unicode.
pub(crate) fn codes(part: &[u16]) -> Vec<u8> {
    let head = [0, 1, 3, 1, 0, 12];
    let words = head.iter().chain(part);
    words.flat_map(|word| word.to_be_bytes()).collect()
}

fn groups_of_all() -> Vec<u8> {
    let mut part = vec![12, 0, 0, 0, 0, 0, 0, 4_000];
    for _ in 0..4_000 {
        part.extend_from_slice(&[0, 0, 0xFFFF, 0xFFFF, 0, 1]);
    }
    codes(&part)
}

fn overlapping_segments() -> Vec<u8> {
    let segments = 16_000_u16;
    let mut part = vec![4, 65_535, 0, segments * 2, 0, 0, 0];
    part.extend(vec![0xFFFF; usize::from(segments)]);
    part.push(0);
    part.extend(vec![0; usize::from(segments)]);
    part.extend(vec![1; usize::from(segments)]);
    part.extend(vec![0; usize::from(segments)]);
    codes(&part)
}

/// A CFF font whose glyphs are listed one by one, in parts of one.
fn long_list_of_glyphs() -> Vec<u8> {
    let glyphs = 60_000_u16;
    let list = |items: &[&[u8]]| {
        let mut out = u16::try_from(items.len())
            .unwrap_or(0)
            .to_be_bytes()
            .to_vec();
        out.push(4);
        let mut place = 1_u32;
        out.extend_from_slice(&place.to_be_bytes());
        for item in items {
            place += u32::try_from(item.len()).unwrap_or(0);
            out.extend_from_slice(&place.to_be_bytes());
        }
        out.extend(items.concat());
        out
    };
    let number = |number: usize| {
        let number = u32::try_from(number).unwrap_or(0).to_be_bytes();
        [&[29][..], &number].concat()
    };
    let programs: Vec<&[u8]> = vec![&[14]; usize::from(glyphs)];
    let programs = list(&programs);
    let (names, strings, routines) = (list(&[b"X"]), vec![0, 0], vec![0, 0]);
    let top = |charset: usize, programs: usize| {
        let entries = [number(charset), vec![15], number(programs), vec![17]].concat();
        list(&[&entries])
    };
    let before = 4 + names.len() + top(0, 0).len() + strings.len() + routines.len();
    let mut font = vec![1, 0, 4, 4];
    font.extend(names);
    font.extend(top(before + programs.len(), before));
    font.extend(strings);
    font.extend(routines);
    font.extend(programs);
    font.push(2);
    for glyph in 1..glyphs {
        font.extend_from_slice(&glyph.to_be_bytes());
        font.extend_from_slice(&[0, 0]);
    }
    let mut pdf = Pdf::default();
    let data = pdf.stream("/Subtype /Type1C /Filter /FlateDecode", &packed(&font));
    let descriptor = pdf.add(&format!(
        "<< /Type /FontDescriptor /Flags 4 /FontFile3 {data} 0 R >>"
    ));
    page_of_fonts(pdf, 20, |_| {
        format!("<< /Type /Font /Subtype /Type1 /BaseFont /X /FontDescriptor {descriptor} 0 R >>")
    })
}

fn hyphens() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let font = pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    let lines = format!("BT /F 1 Tf 0 -2 Td {} ET", "(a-)Tj 0 -2 Td ".repeat(1_000));
    let form = pdf.stream(
        &format!("/Subtype /Form /Resources << /Font << /F {font} 0 R >> >>"),
        lines.as_bytes(),
    );
    let page = pdf.page(
        &"/X Do 1 0 0 1 0 -2000 cm ".repeat(900),
        &format!("/Resources << /XObject << /X {form} 0 R >> >>"),
    );
    pdf.finish(&[page])
}

fn glyphs_apart() -> Vec<u8> {
    let row = format!("[{}]TJ ", "(a)-9999".repeat(8_000));
    let content = format!("BT /F 1 Tf 72 700 Td {} ET", row.repeat(240));
    let font = "/Subtype /Type1 /BaseFont /Helvetica";
    page_with_font(Pdf::default(), font, content.as_bytes())
}

fn locked() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let how = pdf.add(&format!(
        "<< /Filter /Standard /V 2 /R 3 /Length 128 /O ({}) /U ({}) /P -4 >>",
        "a".repeat(32),
        "b".repeat(32)
    ));
    pdf.trailer(&format!(
        "/Encrypt {how} 0 R /ID [(0123456789abcdef) (0123456789abcdef)]"
    ));
    let page = pdf.page("x", "");
    let open = pdf.add(&format!("({}", "x".repeat(3_000_000)));
    let mut file = under_many_numbers(pdf, page, open);
    let end = format!("trailer << /Root 1 0 R /Encrypt {how} 0 R >>");
    file.extend_from_slice(end.as_bytes());
    file
}

fn tree_in_itself() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let kids = pdf.add("null") + 1;
    pdf.add(&format!(
        "[{}]",
        format!("<< /Kids {kids} 0 R >> ").repeat(20_000)
    ));
    let page = pdf.add(&format!("<< /Type /Pages /Kids {kids} 0 R >>"));
    pdf.finish(&[page])
}

fn shared_annotations() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let all = pdf.add(&format!("[{}]", "0 ".repeat(200_000)));
    let pages: Vec<usize> = (0..4_000)
        .map(|_| {
            pdf.add(&format!(
                "<< /Type /Page /Parent 2 0 R /Annots {all} 0 R >>"
            ))
        })
        .collect();
    pdf.finish(&pages)
}

fn layers() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let group = pdf.add(&format!(
        "<< /Type /OCMD /OCGs [{}] >>",
        "900 0 R ".repeat(200_000)
    ));
    let page = pdf.page(
        &"/OC /L BDC EMC ".repeat(500_000),
        &format!("/Resources << /Properties << /L {group} 0 R >> >>"),
    );
    pdf.finish(&[page])
}

fn filters_on_filters() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let mut content = packed_zeros(15 << 20);
    for _ in 0..6 {
        content = packed(&content);
    }
    let filters = "/FlateDecode ".repeat(7);
    let part = pdf.stream(&format!("/Filter [{filters}]"), &content);
    let parts = format!("{part} 0 R ").repeat(5_000);
    let page = pdf.add(&format!(
        "<< /Type /Page /Parent 2 0 R /Contents [{parts}] >>"
    ));
    pdf.finish(&[page])
}

fn forms_in_forms() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let font = pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
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
    let more = format!("/Resources << /XObject << /X {below} 0 R >> >>");
    let page = pdf.page("/X Do", &more);
    pdf.finish(&[page])
}

fn many_forms() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let content = packed_zeros(15 << 20);
    let (mut names, mut shows) = (String::new(), String::new());
    for n in 0..40 {
        let form = pdf.stream("/Subtype /Form /Filter /FlateDecode", &content);
        let _ = write!(names, "/X{n} {form} 0 R ");
        let _ = write!(shows, "/X{n} Do ");
    }
    let page = pdf.page(&shows, &format!("/Resources << /XObject << {names} >> >>"));
    pdf.finish(&[page])
}

/// A page with that packed content.
pub(crate) fn page_of(content: Vec<u8>) -> Vec<u8> {
    let mut pdf = Pdf::default();
    let content = pdf.stream("/Filter /FlateDecode", &content);
    let page = pdf.add(&format!(
        "<< /Type /Page /Parent 2 0 R /Contents {content} 0 R >>"
    ));
    pdf.finish(&[page])
}

fn shared_content() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let content = packed("0 ".repeat(7_900_000).as_bytes());
    let content = pdf.stream("/Filter /FlateDecode", &content);
    let pages: Vec<usize> = (0..1_000)
        .map(|_| {
            pdf.add(&format!(
                "<< /Type /Page /Parent 2 0 R /Contents {content} 0 R >>"
            ))
        })
        .collect();
    pdf.finish(&pages)
}

fn deep_object() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let deep = pdf.add(&"<< /A ".repeat(200_000));
    let page = pdf.page("BT ET", &format!("/Resources {deep} 0 R"));
    pdf.finish(&[page])
}
