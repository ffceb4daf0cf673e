//! Invalid input is reported with the problem, its position and the fix.

use prestop_manifest::ManifestError;

use super::documents;

/// Returns the first error of a stream.
fn error(stream: &[u8]) -> ManifestError {
    documents(stream)
        .into_iter()
        .find_map(|document| match document {
            Ok(document) => document.value().err(),
            Err(error) => Some(error),
        })
        .unwrap_or_else(|| panic!("no error: {:?}", String::from_utf8_lossy(stream)))
}

#[test]
fn errors_name_the_problem_and_its_place() {
    let cases: &[(&[u8], &str, (usize, usize, usize))] = &[
        (b"a: 1\n---\nimage: x\nb: 2\nimage: y\n", "duplicate key `image`", (2, 5, 1)),
        (b"{\"a\": 1,\n \"a\": 2}", "duplicate key `a`", (1, 2, 4)),
        (b"a:\n\tb: 1\n", "a tab in the indentation", (1, 2, 2)),
        (b"a: \"x\n", "unclosed quote", (1, 1, 4)),
        (b"{\"a\": 1, \"b\":", "EOF while parsing a value", (1, 1, 13)),
        (b"a: {b: 1\n", "unclosed bracket", (1, 1, 4)),
        (b"a: 1\nb\0: 2\n", "binary data", (1, 2, 2)),
        (b"a: 1\nb: \xff\n", "not UTF-8", (1, 2, 4)),
        (b"a: 1\n---\nb: \xe4 x\n", "not UTF-8", (2, 3, 4)),
        (b"\xff\xfea\0:\0", "UTF-16", (1, 1, 1)),
        (b"\xfe\xff\0a\0:", "UTF-16", (1, 1, 1)),
        (b"a: *b\n", "an alias to an anchor that is not there", (1, 1, 4)),
        (b"? [a]\n: b\n", "a key that is not a string", (1, 1, 3)),
        (b"a: 1\n~: b\n", "a key that is null", (1, 2, 1)),
        (b"a: .inf\n", "a number that JSON does not have", (1, 1, 4)),
        (b"# c\na: 1\n  b: 2\n", "mapping values are not allowed", (1, 3, 4)),
        (b"a: 1\n b: 2\n", "mapping values are not allowed", (1, 2, 3)),
        (b"a: 'b' c\n", "", (1, 1, 8)),
        (b"a: &a [*a]\n", "", (1, 1, 8)),
    ];
    for (stream, message, (number, line, column)) in cases {
        let error = error(stream);
        assert!(error.message.contains(message), "{error}");
        assert!(!error.message.contains(" at line"), "{error}");
        assert_eq!(
            (error.document, error.line, error.column),
            (*number, *line, *column),
            "{error}"
        );
    }
}

#[test]
fn errors_show_the_line() {
    let error = error(b"a: 1\n---\nimage: x\nb: 2\nimage: y # c\n");
    assert_eq!(
        error.to_string(),
        "duplicate key `image`; remove one of the two (document 2, line 5, column 1)\n 5 | image: y # c\n   | ^"
    );
}

#[test]
fn what_is_too_deep_is_an_error_and_no_crash() {
    // Stack size of the main thread of a program; without optimisation, a level takes about 20 kB
    // of it.
    let thread = std::thread::Builder::new().stack_size(8 << 20).spawn(too_deep).unwrap();
    thread.join().unwrap();
}

fn too_deep() {
    for depth in [200, 100_000] {
        for text in [
            "[".repeat(depth),
            format!("--- {}", "[".repeat(depth)),
            format!("{}{}", "[".repeat(depth), "]".repeat(depth)),
            format!("--- {}{}", "[".repeat(depth), "]".repeat(depth)),
            "{\"a\":".repeat(depth),
            "- ".repeat(depth),
        ] {
            let found = error(text.as_bytes());
            assert!(found.source_line().len() < 500);
        }
    }
    let block: String = (0..300).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert!(error(block.as_bytes()).message.contains("nested deeper than 64 levels"));
}

#[test]
fn aliases_of_aliases_stay_small() {
    let mut text = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n".to_owned();
    for level in 1..30 {
        let of = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{of}]\n"));
    }
    let found = error(text.as_bytes());
    assert!(found.message.contains("aliases expand"), "{found}");

    // The same with merge keys, and with one long text.
    let mut text = "a0: &a0 {k: lol}\n".to_owned();
    for level in 1..40 {
        let name = format!("a{}", level - 1);
        text.push_str(&format!("a{level}: &a{level}\n  <<: *{name}\n  x: *{name}\n  y: *{name}\n"));
    }
    let found = error(text.as_bytes());
    assert!(found.message.contains("aliases expand"), "{found}");
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a,".repeat(1000));
    let found = error(text.as_bytes());
    assert!(found.message.contains("aliases expand"), "{found}");
}

#[test]
fn an_error_in_one_document_leaves_the_others() {
    let all = documents(b"a: 1\n---\nb: [\n---\nc: 3\n");
    let values: Vec<bool> =
        all.iter().map(|document| document.as_ref().unwrap().value().is_ok()).collect();
    assert_eq!(values, [true, false, true]);
    let texts: String = all.into_iter().map(|document| document.unwrap().text).collect();
    assert_eq!(texts, "a: 1\n---\nb: [\n---\nc: 3\n");
}
