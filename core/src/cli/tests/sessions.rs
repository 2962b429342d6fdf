//! `sessions` and `document`.

use super::*;

fn with_input(words: &[&str], mut input: &[u8]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let args = std::iter::once("credential-rotation").chain(words.iter().copied());
    let code = run(
        Program::CredentialRotation,
        args.map(OsString::from),
        &mut Shell {
            input: &mut input,
            out: &mut out,
            err: &mut err,
            out_is_terminal: false,
            err_is_terminal: false,
            colours: true,
        },
    );
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (code, text(out), text(err))
}

const LINES: &str = concat!(
    r#"{"format":"credential-rotation.session","format_version":1,"owner":"ann","id":"s","name":"Bread","messages":2}"#,
    "\n",
    r#"{"place":0,"turn":0,"version":2,"at":1,"message":{"role":"user","content":"hello"}}"#,
    "\n",
    r#"{"place":1,"turn":0,"version":2,"at":1,"message":{"role":"assistant","content":"hi there"}}"#,
    "\n",
);

#[test]
fn a_session_is_taken_in_looked_at_taken_out_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("s.db").display());
    let asked = |words: &[&str], input: &str| {
        let words = [&["sessions"], words, &["--url", &url]].concat();
        with_input(&words, input.as_bytes())
    };
    let (code, out, _) = asked(&["import"], LINES);
    assert_eq!(
        (code, out.as_str()),
        (exit::OK, "default/s has 2 messages\n")
    );
    let (code, _, err) = asked(&["import"], LINES);
    assert_eq!(code, exit::BAD_INPUT, "{err}");
    let (_, out, _) = asked(&["list"], "");
    let rows: Vec<&str> = out.lines().collect();
    assert!(rows[1].starts_with("default  s   Bread  1      2"), "{out}");
    let (_, out, _) = asked(&["list", "--json", "--owner", "bob"], "");
    let page: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(page["sessions"].as_array().unwrap().len(), 0);
    let (_, out, _) = asked(&["show", "s", "--last", "1"], "");
    assert!(
        out.contains("[1] assistant:\nhi there") && !out.contains("hello"),
        "{out}"
    );
    let (_, out, _) = asked(&["export", "s"], "");
    assert_eq!(out.lines().count(), 3);
    let (code, _, err) = asked(&["import", "--id", "t"], "nonsense");
    assert_eq!(code, exit::BAD_INPUT);
    assert!(err.contains("line 1"), "{err}");
    let (code, out, _) = asked(&["delete", "s"], "");
    assert_eq!((code, out.as_str()), (exit::OK, "default/s is removed\n"));
    let (code, _, err) = asked(&["show", "s"], "");
    assert_eq!(code, exit::BAD_INPUT);
    assert!(err.contains("no session `s`"), "{err}");
}

#[test]
fn the_text_of_a_document_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.md");
    std::fs::write(&path, "# Salt\n\nOlder than bread.\n").unwrap();
    let path = path.to_str().unwrap();
    let asked = |words: &[&str], input: &str| {
        let words = [&["document", "text"], words].concat();
        with_input(&words, input.as_bytes())
    };
    let (code, out, _) = asked(&[path], "");
    assert_eq!(
        (code, out.as_str()),
        (exit::OK, "# Salt\n\nOlder than bread.\n")
    );
    let (_, out, _) = asked(&[path, "--json"], "");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&told["title"], &told["kind"]),
        (&"Salt".into(), &"markdown".into())
    );
    let (_, out, _) = asked(&["-"], "piped");
    assert_eq!(out, "piped\n");
    let (code, _, err) = asked(&["-"], "");
    assert_eq!(code, exit::BAD_INPUT);
    assert!(err.contains("empty"), "{err}");
    let (code, out, _) = asked(&["/nowhere.pdf", "--json"], "");
    let told: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &told["error"]["code"]),
        (exit::STATE, &"document_unreadable".into())
    );
    let (code, _, _) = asked(&[path, "--max-pages", "0"], "");
    assert_eq!(code, exit::USAGE);
}
