//! Server-sent events out of bytes. Pure; knows nothing of sockets or JSON.
//!
//! Our own rather than `eventsource-stream`: that crate has no bound on a line or
//! event, and copies the rest of its buffer once a line, which is quadratic in
//! what one read brings. The tests hold the two against each other.

use std::collections::VecDeque;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its `event` field; empty when there was none.
    pub(crate) name: String,
    /// Its `data` lines, joined.
    pub(crate) data: String,
}

/// Why bytes are not an event stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotEvents {
    /// A line or event is over the bound.
    TooLarge,
    /// A field is not UTF-8.
    NotText,
}

/// Collects bytes until they make events.
#[derive(Debug)]
pub(super) struct EventParser {
    limit: usize,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    name: String,
    data: String,
    after_cr: bool,
    started: bool,
}

impl EventParser {
    /// A parser that holds at most `limit` bytes of a line and of an event.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            line: Vec::new(),
            name: String::new(),
            data: String::new(),
            after_cr: false,
            started: false,
        }
    }

    /// Takes the next bytes, wherever they were cut, and gives the events they complete.
    pub(super) fn feed(
        &mut self,
        mut bytes: &[u8],
        events: &mut VecDeque<Event>,
    ) -> Result<(), NotEvents> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_cr) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return self.keep(bytes);
            };
            self.after_cr = bytes[end] == b'\r';
            if self.line.is_empty() {
                self.take(&bytes[..end], events)?;
            } else {
                self.keep(&bytes[..end])?;
                let mut line = std::mem::take(&mut self.line);
                self.take(&line, events)?;
                line.clear();
                self.line = line;
            }
            bytes = &bytes[end + 1..];
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), NotEvents> {
        if self.line.len().saturating_add(bytes.len()) > self.limit {
            return Err(NotEvents::TooLarge);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn take(&mut self, line: &[u8], events: &mut VecDeque<Event>) -> Result<(), NotEvents> {
        let line = match std::mem::replace(&mut self.started, true) {
            false => line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line),
            true => line,
        };
        if line.is_empty() {
            self.dispatch(events);
            return Ok(());
        }
        let (field, value) = match line.iter().position(|byte| *byte == b':') {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &line[line.len()..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        let text = |value| std::str::from_utf8(value).map_err(|_| NotEvents::NotText);
        match field {
            b"data" => {
                if self.data.len().saturating_add(value.len()) > self.limit {
                    return Err(NotEvents::TooLarge);
                }
                self.data.push_str(text(value)?);
                self.data.push('\n');
            }
            b"event" if value.len() > self.limit => return Err(NotEvents::TooLarge),
            b"event" => text(value)?.clone_into(&mut self.name),
            _ => {}
        }
        Ok(())
    }

    fn dispatch(&mut self, events: &mut VecDeque<Event>) {
        let name = std::mem::take(&mut self.name);
        if self.data.pop().is_some() {
            let data = std::mem::take(&mut self.data);
            events.push_back(Event { name, data });
        }
    }
}

#[cfg(test)]
mod tests {
    use eventsource_stream::Eventsource;
    use futures_util::{StreamExt, stream};
    use proptest::prelude::*;

    use super::*;

    fn parsed(pieces: &[&[u8]], limit: usize) -> Result<Vec<(String, String)>, NotEvents> {
        let mut parser = EventParser::new(limit);
        let mut events = VecDeque::new();
        for piece in pieces {
            parser.feed(piece, &mut events)?;
        }
        Ok(events.into_iter().map(|e| (e.name, e.data)).collect())
    }

    #[test]
    fn fields_lines_and_comments_are_read_as_the_standard_says() {
        for (text, expected) in [
            ("data: a\n\n", vec![("", "a")]),
            ("data:a\r\rdata:  b\r\r", vec![("", "a"), ("", " b")]),
            ("event: error\r\ndata: x\r\n\r\n", vec![("error", "x")]),
            ("data: a\ndata\ndata: b\n\n", vec![("", "a\n\nb")]),
            (": ping\n\nid: 3\nretry: 5\n\n", vec![]),
            ("event: lost\n\ndata: a\n\n", vec![("", "a")]),
            ("\u{feff}data: a\n\n", vec![("", "a")]),
            ("data: {\"a\":1}\n\ndata: cut", vec![("", "{\"a\":1}")]),
            ("data\n\n", vec![("", "")]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(name, data)| (name.to_owned(), data.to_owned()))
                .collect();
            assert_eq!(parsed(&[text.as_bytes()], 100), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn an_endless_line_and_an_endless_event_are_refused() {
        assert_eq!(
            parsed(&[b"data: 123", b"4567"], 12),
            Err(NotEvents::TooLarge)
        );
        assert_eq!(parsed(&[b"data: 123456\n"], 5), Err(NotEvents::TooLarge));
        let line: &[u8] = b"data: 1234\n";
        assert_eq!(parsed(&[line, line, line], 12), Err(NotEvents::TooLarge));
        let comment: &[u8] = b": keep-alive\n";
        assert_eq!(parsed(&vec![comment; 1000], 16), Ok(vec![]));
    }

    #[test]
    fn bytes_that_are_not_text_are_refused() {
        assert_eq!(parsed(&[b"data: \xff\n\n"], 100), Err(NotEvents::NotText));
    }

    fn body(ends: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
        let line = prop_oneof![
            Just("data: caffè 🙂"),
            Just("data:{\"a\":\"語\"}"),
            Just("data"),
            Just("event: délta"),
            Just(": comment"),
            Just("id: 7"),
            Just(""),
            Just(""),
        ];
        prop::collection::vec((line, prop::sample::select(ends)), 0..24).prop_map(|lines| {
            let text: String = lines.iter().flat_map(|(line, end)| [*line, *end]).collect();
            text.into_bytes()
        })
    }

    proptest! {
        #[test]
        fn any_split_gives_the_same_events(
            body in body(&["\n", "\r\n", "\r"]),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let whole = parsed(&[&body], 4096).unwrap();
            let bytes: Vec<&[u8]> = body.chunks(1).collect();
            prop_assert_eq!(&parsed(&bytes, 4096).unwrap(), &whole);
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            at.extend([0, body.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &body[w[0]..w[1]]).collect();
            prop_assert_eq!(&parsed(&pieces, 4096).unwrap(), &whole);
        }

        #[test]
        fn another_parser_reads_the_same(body in body(&["\n", "\r\n"])) {
            let mut theirs = stream::iter([Ok::<_, ()>(body.clone())]).eventsource();
            let mut expected = Vec::new();
            while let Some(Ok(event)) = futures_util::FutureExt::now_or_never(theirs.next()).flatten() {
                let name = if event.event == "message" { String::new() } else { event.event };
                expected.push((name, event.data));
            }
            prop_assert_eq!(parsed(&[&body], 4096).unwrap(), expected);
        }
    }
}
