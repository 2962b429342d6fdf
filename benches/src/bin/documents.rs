//! The text of PDF files: milliseconds a pass over a folder, and the memory it took.
//! Usage: `documents FOLDER`; `documents --large` makes a file of 500 pages and reads it,
//! `documents --make FILE` only makes it.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

use credential_rotation::document::{Limits, read};
use credential_rotation_benches::print;
use serde_json::json;

type Failure = Box<dyn std::error::Error>;

const LARGE: u32 = 500;
const PASSES: u32 = 5;

fn main() -> Result<(), Failure> {
    let folder = std::env::args().nth(1).ok_or("usage: documents FOLDER")?;
    if folder == "--large" {
        let file = large();
        let began = Instant::now();
        let document = read(&file, Some("large.pdf"), &Limits::default())?;
        assert_eq!(document.pages.len(), LARGE as usize);
        let took = began.elapsed().as_secs_f64() * 1e3;
        print("documents large", took, "ms", json!({}));
        print("documents large memory", peak()?, "MB", json!({}));
        return Ok(());
    }
    if folder == "--make" {
        let file = std::env::args()
            .nth(2)
            .ok_or("usage: documents --make FILE")?;
        return Ok(std::fs::write(file, large())?);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "pdf"))
        .collect();
    files.sort();
    let bodies: Vec<Vec<u8>> = files.iter().map(std::fs::read).collect::<Result<_, _>>()?;
    let mut passes = Vec::new();
    for _ in 0..PASSES {
        let began = Instant::now();
        for body in &bodies {
            // One that is locked, or a scan, takes its time too.
            let _ = read(body, None, &Limits::default());
        }
        passes.push(began.elapsed().as_secs_f64() * 1e3);
    }
    passes.sort_by(f64::total_cmp);
    print(
        "documents folder",
        passes[passes.len() / 2],
        "ms",
        json!({ "files": files.len() }),
    );
    Ok(())
}

/// A file of 500 pages of 50 lines.
fn large() -> Vec<u8> {
    let mut objects = vec![
        "<< /Type /Catalog /Pages 2 0 R >>".to_owned(),
        String::new(),
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>".to_owned(),
    ];
    let mut kids = String::new();
    for page in 0..LARGE {
        let mut content = "BT /F 10 Tf 12 TL 72 750 Td\n".to_owned();
        for line in 0..50 {
            let _ = writeln!(
                content,
                "(Page {page}, line {line}: bread is patient, it waits for nobody at all.) Tj T*"
            );
        }
        content.push_str("ET");
        let number = objects.len() + 1;
        objects.push(format!(
            "<< /Length {} >>\nstream\n{content}\nendstream",
            content.len()
        ));
        objects.push(format!(
            "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {number} 0 R \
             /Resources << /Font << /F 3 0 R >> >> >>"
        ));
        let _ = write!(kids, "{} 0 R ", number + 1);
    }
    objects[1] = format!("<< /Type /Pages /Count {LARGE} /Kids [{kids}] >>");
    let mut file = b"%PDF-1.7\n".to_vec();
    let mut table = format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1);
    for (number, body) in objects.iter().enumerate() {
        let _ = writeln!(table, "{:010} 00000 n ", file.len());
        file.extend_from_slice(format!("{} 0 obj\n{body}\nendobj\n", number + 1).as_bytes());
    }
    let place = file.len();
    let end = format!(
        "{table}trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{place}\n%%EOF\n",
        objects.len() + 1
    );
    file.extend_from_slice(end.as_bytes());
    file
}

/// The most resident megabytes of this process.
fn peak() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line
        .and_then(|line| line.split_whitespace().nth(1))
        .ok_or("no VmHWM")?;
    Ok(kilobytes.parse::<f64>()? / 1000.0)
}
