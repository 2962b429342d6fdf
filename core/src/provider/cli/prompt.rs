//! A request as the one text that a program reads from stdin. Pure.

use super::super::{Message, Request};

/// A single user message is sent as it is; a conversation is written out.
pub(super) fn render(request: &Request) -> String {
    let mut text = match (&request.system, request.messages.as_slice()) {
        (None, [only]) => only.content.text(),
        (system, messages) => written_out(system.as_deref(), messages),
    };
    // At the start these would be commands of the program (`/quit`) or name a file.
    if text.starts_with(['/', '@', '!']) {
        text.insert(0, ' ');
    }
    text
}

fn written_out(system: Option<&str>, messages: &[Message]) -> String {
    let mut parts: Vec<String> = system.map(str::to_owned).into_iter().collect();
    for message in messages {
        let said = message.content.text();
        parts.push(match message.role.as_str() {
            "system" => said,
            "assistant" => format!("Assistant: {said}"),
            _ if messages.len() == 1 => said,
            _ => format!("User: {said}"),
        });
    }
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_of_the_program_are_defused() {
        for (prompt, sent) in [
            ("/quit", " /quit"),
            ("@file", " @file"),
            ("!ls", " !ls"),
            ("-p x", "-p x"),
            ("hi", "hi"),
        ] {
            assert_eq!(render(&Request::prompt(prompt)), sent);
        }
    }

    #[test]
    fn a_conversation_is_written_out_in_order() {
        let request = Request {
            system: Some("Be brief.".into()),
            messages: vec![
                Message::user("One?"),
                Message::assistant("1"),
                Message::user("Two?"),
            ],
            ..Request::default()
        };
        assert_eq!(
            render(&request),
            "Be brief.\n\nUser: One?\n\nAssistant: 1\n\nUser: Two?"
        );
    }

    #[test]
    fn a_system_prompt_goes_before_a_single_message() {
        let request = Request {
            system: Some("Be brief.".into()),
            ..Request::prompt("One?")
        };
        assert_eq!(render(&request), "Be brief.\n\nOne?");
    }
}
