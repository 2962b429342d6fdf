//! Whatever is given to what reads other people's files, it ends in a value or an error.
//!
//! `FUZZ_SECONDS` says for how long (60 by default), `SEED` where to begin.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr)]

#[path = "documents/mod.rs"]
mod made;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use credential_rotation::conversation::Conversations;
use credential_rotation::document::{Limits, read};
use credential_rotation::provider::Message;
use credential_rotation::session::memory::MemorySessions;
use credential_rotation::session::sqlite::SqliteSessions;
use credential_rotation::session::{
    Change, EntryKind, Guard, NewSession, NewTurn, SessionManager, SharedSessions,
};
use credential_rotation::testing::{Scenario, SimulatedEndpoint};
use credential_rotation::wrapper::WrapperOptions;
use made::{Pdf, composite, hostile, packed, saved, shown};
use serde_json::json;

static PANICS: AtomicUsize = AtomicUsize::new(0);
static WHERE: Mutex<String> = Mutex::new(String::new());

/// Panics of the reader's own thread are caught there: here they count.
fn count_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |information| {
            if std::thread::current().name() == Some("document") {
                PANICS.fetch_add(1, Ordering::SeqCst);
                *WHERE.lock().unwrap() = information.to_string();
            } else {
                before(information);
            }
        }));
    });
}

struct Fuzz {
    random: fastrand::Rng,
    seed: u64,
    until: Instant,
    rounds: u64,
}

impl Fuzz {
    fn new() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
        let seed = number("SEED").unwrap_or_else(|| fastrand::u64(..));
        let seconds = number("FUZZ_SECONDS").unwrap_or(60);
        Self {
            random: fastrand::Rng::with_seed(seed),
            seed,
            until: Instant::now() + Duration::from_secs(seconds),
            rounds: 0,
        }
    }

    fn goes_on(&mut self) -> bool {
        self.rounds += 1;
        Instant::now() < self.until
    }

    /// A text with some of its numbers changed.
    fn counted(&mut self, whole: &str) -> String {
        const NUMBERS: [&str; 6] = [
            "0",
            "1",
            "3",
            "1000000",
            "9007199254740993",
            "18446744073709551615",
        ];
        let mut text = String::with_capacity(whole.len());
        let mut rest = whole;
        while let Some(at) = rest.find(|c: char| c.is_ascii_digit()) {
            let (before, from) = rest.split_at(at);
            let end = from
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(from.len());
            text.push_str(before);
            text.push_str(match self.random.u8(..20) {
                0 => NUMBERS[self.random.usize(..NUMBERS.len())],
                _ => &from[..end],
            });
            rest = &from[end..];
        }
        text + rest
    }

    /// A file with some of its bytes changed, moved, doubled or gone.
    fn broken(&mut self, whole: &[u8], words: &[&str]) -> Vec<u8> {
        let mut file = whole.to_vec();
        for _ in 0..self.random.usize(1..12) {
            if file.is_empty() {
                break;
            }
            let at = self.random.usize(..file.len());
            let end = (at + self.random.usize(1..40)).min(file.len());
            match self.random.u8(..7) {
                0 => file[at] = self.random.u8(..),
                1 => drop(file.drain(at..end)),
                2 => {
                    let part = file[at..end].to_vec();
                    let to = self.random.usize(..=file.len());
                    drop(file.splice(to..to, part));
                }
                3 => file.truncate(at),
                4 => {
                    let word = words[self.random.usize(..words.len())];
                    drop(file.splice(at..at, word.bytes()));
                }
                5 => {
                    let number = self.random.i64(-3..70_000).to_string();
                    if let Some(digit) = file[at..].iter().position(u8::is_ascii_digit) {
                        let at = at + digit;
                        drop(file.splice(at..=at, number.bytes()));
                    }
                }
                _ => {
                    let word = words[self.random.usize(..words.len())];
                    let end = (at + word.len()).min(file.len());
                    drop(file.splice(at..end, word.bytes()));
                }
            }
        }
        file
    }
}

fn rich() -> Vec<u8> {
    let mut pdf = Pdf::default();
    let simple = pdf.add(
        "<< /Type /Font /Subtype /TrueType /BaseFont /A /FirstChar 32 /Widths [250 300 400] \
         /Encoding << /BaseEncoding /WinAnsiEncoding /Differences [65 /uni0042 /a67 /ff] >> >>",
    );
    let wide = composite(&mut pdf, &[(1, "ﬁ"), (2, "ש"), (3, "語")]);
    let vertical = pdf.add(
        "<< /Type /Font /Subtype /Type0 /BaseFont /V /Encoding /UniJIS-UTF16-V /DescendantFonts \
         [<< /Subtype /CIDFontType0 /DW2 [880 -900] /W2 [1 [-500 1 1] 5 9 -700 1 1] /W [1 [500] 3 9 \
         600] /CIDSystemInfo << /Registry (Adobe) /Ordering (Japan1) >> >>] >>",
    );
    let resources =
        format!("/Resources << /Font << /F {simple} 0 R /G {wide} 0 R /H {vertical} 0 R >>");
    let form = pdf.stream(
        &format!("/Subtype /Form /Matrix [1 0 0 1 5 5] {resources} >>"),
        b"/Span << /ActualText (x) >> BDC BT /F 9 Tf (in) Tj ET EMC",
    );
    let content = format!(
        "{} q 1 0 0 1 9 9 cm BT /G 12 Tf 1 Tc 72 600 Td <000100020003> Tj ET Q BT /H 9 Tf 300 500 Td \
         <65E5672C> Tj [(a) -200 (b)] TJ ET /X Do BI /W 1 ID xx EI",
        shown(&[(72, 700, "Hello"), (110, 700, "wor-"), (72, 688, "ld")])
    );
    let page = pdf.page(
        &content,
        &format!("{resources} /XObject << /X {form} 0 R >> >> /Rotate 90"),
    );
    pdf.finish(&[page])
}

/// Every part of the reader has a file that it reads.
fn seeds() -> Vec<Vec<u8>> {
    let hex: String = packed(shown(&[(72, 700, "Hello")]).as_bytes())
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut pdf = Pdf::default();
    let filter = pdf.add("[/AHx /FlateDecode]");
    let told = "[null << /Predictor 1 /Columns 4 >>]";
    let dictionary = format!("/Filter {filter} 0 R /DecodeParms {told}");
    let content = pdf.stream(&dictionary, hex.as_bytes());
    let font = pdf.add("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>");
    let page = pdf.add(&format!(
        "<< /Type /Page /Parent 2 0 R /Contents [{content} 0 R] \
         /Resources << /Font << /F {font} 0 R >> >> >>"
    ));
    let filtered = pdf.finish(&[page]);
    let group = [12, 0, 0, 0, 0, 0, 0, 1, 0, 65, 0, 90, 0, 1];
    vec![
        rich(),
        saved(&rich(), None),
        saved(&rich(), Some("")),
        filtered,
        hostile::font_program(&[(b"cmap", &hostile::codes(&group))]),
    ]
}

#[test]
fn any_file_ends_in_text_or_an_error() {
    count_panics();
    let mut fuzz = Fuzz::new();
    let (seeds, limits) = (
        seeds(),
        Limits {
            time: Duration::from_secs(5),
            ..Limits::default()
        },
    );
    for (seed, text) in seeds.iter().zip(["Hello", "Hello", "Hello", "Hello", "ab"]) {
        let whole = read(seed, None, &limits).unwrap().text();
        assert!(whole.contains(text), "{whole}");
    }
    let words = [
        "/Kids [1 0 R]",
        "2 0 R",
        "<<",
        ">>",
        "[",
        "]",
        "(",
        ")",
        "stream",
        "endobj",
        "/Filter /FlateDecode",
        "/Filter [/LZWDecode /ASCII85Decode]",
        "/Length 99999999",
        "-1",
        "1e99",
        "Tj",
        "TJ",
        "BDC",
        "EMC",
        "Do",
        "/Font",
        "null",
        "true",
        "%",
        "\\",
        "<FFFF>",
        "beginbfrange <0000> <FFFF> <0000> endbfrange",
        "/W [0 99999 1]",
        "/Contents [4 0 R 4 0 R]",
        "/Encoding /90ms-RKSJ-H",
        "/ToUnicode /Identity-H",
        "trailer",
        "xref",
        "4294967295",
    ];
    while fuzz.goes_on() {
        let seed = fuzz.random.usize(..seeds.len());
        let file = fuzz.broken(&seeds[seed], &words);
        let began = Instant::now();
        let _ = read(&file, Some("a.pdf"), &limits);
        let (seed, round) = (fuzz.seed, fuzz.rounds);
        let panics = PANICS.load(Ordering::SeqCst);
        assert_eq!(
            panics,
            0,
            "SEED={seed}, round {round}: {}",
            WHERE.lock().unwrap()
        );
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "SEED={seed}, round {round}"
        );
    }
    eprintln!("{} files", fuzz.rounds);
}

/// A session with something of everything, as it is exported.
async fn exported() -> String {
    let sessions = MemorySessions::new();
    let new = NewSession::of("ann").with(|new| {
        let window = json!({ "last": 4, "token_budget": 1_000, "summarise": false });
        new.settings = json!({ "system": "Be brief.", "window": window })
            .as_object()
            .unwrap()
            .clone();
    });
    let key = sessions.create(new).await.unwrap().key;
    for kind in [
        EntryKind::Training,
        EntryKind::Talk,
        EntryKind::Summary,
        EntryKind::Talk,
    ] {
        let mut turn = NewTurn::of(vec![Message::user("a \u{1F511}"), Message::assistant("b")]);
        for new in &mut turn.messages {
            (new.kind, new.tokens) = (kind, Some(7));
        }
        if kind == EntryKind::Summary {
            let extra = &mut turn.messages[1].message.extra;
            extra.insert("covers".to_owned(), json!(2));
        }
        let turn = turn.keyed("turn");
        sessions.append(&key, Guard::default(), turn).await.unwrap();
        sessions
            .change(&key, Guard::default(), Change::default())
            .await
            .unwrap();
    }
    sessions.export(&key).await.unwrap()
}

#[tokio::test]
async fn any_import_ends_in_a_session_that_can_be_spoken_in_or_an_error() {
    let mut fuzz = Fuzz::new();
    let steps = json!({ "keys": { "sk-secret-a": [{ "text": "yes" }] } }).to_string();
    let endpoint = SimulatedEndpoint::start(Scenario::from_json(&steps).unwrap());
    let endpoint = endpoint.await.unwrap();
    let options = json!({
        "provider": "anthropic", "base_url": endpoint.url(), "model": "sim-1",
        "max_retries": 0, "credentials": [{ "id": "a", "secret": "sk-secret-a" }],
    });
    let wrapper = WrapperOptions::from_json(&options.to_string());
    let wrapper = wrapper.unwrap().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = SqliteSessions::open(folder.path().join("sessions.db")).unwrap();
    let places: [SharedSessions; 2] = [Arc::new(MemorySessions::new()), Arc::new(file)];
    let whole = exported().await;
    let words = [
        "\n",
        "{",
        "}",
        "\"place\":0",
        "\"turn\":18446744073709551615",
        "\"messages\":99",
        "null",
        "[]",
        "\\u0000",
        "\"kind\":\"training\"",
        "\"kind\":\"summary\",",
        "\"covers\":18446744073709551615",
        "\"tokens\":18446744073709551615,",
        "\"token_budget\":18446744073709551615,",
        "\"owner\":\"\"",
        "-1",
        "1e400",
        "\"role\":\"\"",
    ];
    let (mut made, mut spoken) = (0, 0);
    while fuzz.goes_on() {
        // A small change is taken in more often.
        let broken = match fuzz.random.bool() {
            true => fuzz.broken(whole.as_bytes(), &words),
            false => fuzz.counted(&whole).into_bytes(),
        };
        let text = String::from_utf8_lossy(&broken);
        let sessions = &places[usize::from(fuzz.rounds.is_multiple_of(8))];
        match sessions.import("bob", Some("x".to_owned()), &text).await {
            // What was taken in can be used.
            Ok(session) => {
                made += 1;
                let talk = Conversations::new(Arc::clone(sessions), wrapper.clone());
                match talk.open(session.key.clone()).send("go on").await {
                    Ok(reply) => {
                        spoken += 1;
                        assert_eq!(reply.session.turns, session.turns + 1);
                    }
                    Err(error) => assert!(!error.code().is_empty()),
                }
                sessions.pop(&session.key, Guard::default()).await.unwrap();
                sessions.export(&session.key).await.unwrap();
                let deleted = sessions.delete(&session.key, Guard::default());
                deleted.await.unwrap();
            }
            Err(error) => assert!(!error.code().is_empty()),
        }
    }
    for sessions in &places {
        let left = sessions.count(Some("bob")).await.unwrap();
        assert_eq!(left, 0, "SEED={}", fuzz.seed);
    }
    eprintln!("{} imports, {made} sessions, {spoken} replies", fuzz.rounds);
    assert!(spoken > 0, "SEED={}", fuzz.seed);
}
