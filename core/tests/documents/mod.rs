//! PDF files made by hand, as small as they can be.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod crowds;
pub(crate) mod honest;
pub(crate) mod hostile;

use std::fmt::Write;

/// A file in the making: its objects, numbered from 1. The first is the catalog, the second
/// the tree of pages.
#[derive(Default)]
pub(crate) struct Pdf {
    objects: Vec<Vec<u8>>,
    trailer: String,
    catalog: String,
}

/// Numbers of a catalog and a tree of pages.
const ROOT: usize = 2;

impl Pdf {
    /// A file with a Helvetica font (object 3) and these pages.
    pub(crate) fn of(pages: &[&str]) -> Vec<u8> {
        let mut pdf = Self::default();
        let font = pdf.add(
            "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
        );
        let resources = format!("/Resources << /Font << /F {font} 0 R >> >>");
        let pages: Vec<usize> = pages.iter().map(|p| pdf.page(p, &resources)).collect();
        pdf.finish(&pages)
    }

    /// Adds an object; tells its number.
    pub(crate) fn add(&mut self, body: &str) -> usize {
        self.objects.push(body.as_bytes().to_vec());
        self.objects.len() + ROOT
    }

    /// Adds a stream.
    pub(crate) fn stream(&mut self, dictionary: &str, content: &[u8]) -> usize {
        let length = content.len();
        let mut body = format!("<< {dictionary} /Length {length} >>\nstream\n").into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(b"\nendstream");
        self.objects.push(body);
        self.objects.len() + ROOT
    }

    /// Adds a page with that content.
    pub(crate) fn page(&mut self, content: &str, more: &str) -> usize {
        let content = self.stream("", content.as_bytes());
        self.add(&format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {content} 0 R {more} >>"
        ))
    }

    /// More of the trailer.
    pub(crate) fn trailer(&mut self, more: &str) {
        self.trailer.push_str(more);
    }

    /// More of the catalog.
    pub(crate) fn catalog(&mut self, more: &str) {
        self.catalog.push_str(more);
    }

    /// The file.
    pub(crate) fn finish(self, pages: &[usize]) -> Vec<u8> {
        let kids: String = pages.iter().fold(String::new(), |mut kids, page| {
            let _ = write!(kids, "{page} 0 R ");
            kids
        });
        let tree = format!("<< /Type /Pages /Kids [{kids}] /Count {} >>", pages.len());
        let mut objects = vec![
            format!("<< /Type /Catalog /Pages 2 0 R {} >>", self.catalog).into_bytes(),
            tree.into_bytes(),
        ];
        objects.extend(self.objects);
        let mut file = b"%PDF-1.7\n".to_vec();
        let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
        for (number, body) in objects.iter().enumerate() {
            let _ = writeln!(table, "{:010} 00000 n ", file.len());
            file.extend_from_slice(format!("{} 0 obj\n", number + 1).as_bytes());
            file.extend_from_slice(body);
            file.extend_from_slice(b"\nendobj\n");
        }
        let place = file.len();
        file.extend_from_slice(table.as_bytes());
        let end = format!(
            "trailer\n<< /Size {} /Root 1 0 R {} >>\nstartxref\n{place}\n%%EOF\n",
            objects.len() + 1,
            self.trailer
        );
        file.extend_from_slice(end.as_bytes());
        file
    }
}

/// A page's text at places: `(x, y, text)` in 10 points.
pub(crate) fn shown(texts: &[(i32, i32, &str)]) -> String {
    texts.iter().fold(String::new(), |mut page, (x, y, text)| {
        let _ = writeln!(page, "BT /F 10 Tf {x} {y} Td ({text}) Tj ET");
        page
    })
}

/// A font whose codes of two bytes mean what the table says, all glyphs half as wide as high.
pub(crate) fn composite(pdf: &mut Pdf, table: &[(u16, &str)]) -> usize {
    let rows: String = table.iter().fold(String::new(), |mut rows, (code, text)| {
        let units: String = text
            .encode_utf16()
            .map(|unit| format!("{unit:04X}"))
            .collect();
        let _ = writeln!(rows, "<{code:04X}> <{units}>");
        rows
    });
    let map = format!(
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n\
         1 begincodespacerange <0000> <FFFF> endcodespacerange\n\
         {} beginbfchar\n{rows}endbfchar endcmap end end",
        table.len()
    );
    let map = pdf.stream("", map.as_bytes());
    let below = pdf.add(
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /X /DW 500 \
         /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> >>",
    );
    pdf.add(&format!(
        "<< /Type /Font /Subtype /Type0 /BaseFont /X /Encoding /Identity-H \
         /DescendantFonts [{below} 0 R] /ToUnicode {map} 0 R >>"
    ))
}

/// Packed in the way of `FlateDecode`.
pub(crate) fn packed(content: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut packer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(content).unwrap_or_default();
    packer.finish().unwrap_or_default()
}

/// Blanks, packed: a thousand times smaller.
pub(crate) fn packed_zeros(bytes: usize) -> Vec<u8> {
    packed(&vec![b' '; bytes])
}

/// A file in the making with a Helvetica font, and a page that shows this with it.
pub(crate) fn pdf_with_font(content: &str) -> (Pdf, usize) {
    let mut pdf = Pdf::default();
    let font = pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    let page = pdf.page(
        content,
        &format!("/Resources << /Font << /F {font} 0 R >> >>"),
    );
    (pdf, page)
}

/// The file as the library writes it: locked, without a password, or its objects in streams.
pub(crate) fn saved(file: &[u8], password: Option<&str>) -> Vec<u8> {
    let mut document = lopdf::Document::load_mem(file).unwrap();
    let id = lopdf::Object::string_literal("0123456789abcdef");
    document.trailer.set("ID", vec![id.clone(), id]);
    if let Some(user_password) = password {
        let version = lopdf::EncryptionVersion::V2 {
            document: &document,
            owner_password: "owner",
            user_password,
            key_length: 128,
            permissions: lopdf::Permissions::all(),
        };
        let state = lopdf::EncryptionState::try_from(version).unwrap();
        document.encrypt(&state).unwrap();
    }
    let options = lopdf::SaveOptions::builder()
        .use_object_streams(password.is_none())
        .use_xref_streams(true)
        .build();
    let mut saved = Vec::new();
    document.save_with_options(&mut saved, options).unwrap();
    saved
}
