//! Plain HTTP servers that serve, break off, redirect and lie.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::sync::Mutex;

use qadom_files::Tree;

use super::*;

/// What a server does with the request of a number, whose range begins at a byte.
type Serving = dyn Fn(usize, Option<(u64, Option<u64>)>) -> Vec<u8> + Send;

/// A server that answers each connection once; it ends with the test's process.
fn server(serving: Box<Serving>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let mut range = None;
            for line in BufReader::new(&stream).lines() {
                let line = line.unwrap().to_lowercase();
                if let Some(bytes) = line.strip_prefix("range: bytes=") {
                    let (first, last) = bytes.split_once('-').unwrap();
                    range = Some((first.parse().unwrap(), last.parse().ok()));
                }
                if line.is_empty() {
                    break;
                }
            }
            // Whoever was asked may have seen enough.
            let _ = stream.write_all(&serving(number, range));
        }
    });
    address
}

fn answer(head: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
    [head.as_bytes(), body].concat()
}

/// An answer that ends where the connection does, of which nobody says how long it is.
fn endless(body: &[u8]) -> Vec<u8> {
    [b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n", body].concat()
}

/// Serves ranges of the content.
fn ranges(content: &[u8], range: Option<(u64, Option<u64>)>) -> Vec<u8> {
    let Some((first, last)) = range else {
        return answer("200 OK", content.len(), content);
    };
    let first = usize::try_from(first).unwrap();
    let end = last.map_or(content.len(), |last| usize::try_from(last).unwrap() + 1);
    let part = &content[first..end.min(content.len())];
    let place = format!(
        "206 Partial Content\r\ncontent-range: bytes {first}-{}/{}",
        end - 1,
        content.len()
    );
    answer(&place, part.len(), part)
}

/// A server without faults.
pub(in crate::files) fn plain(content: Vec<u8>) -> SocketAddr {
    server(Box::new(move |_, range| ranges(&content, range)))
}

/// A server that knows no ranges.
pub(in crate::files) fn whole(content: Vec<u8>) -> SocketAddr {
    server(Box::new(move |_, _| ranges(&content, None)))
}

/// The ranges that a server was asked for, nothing for the whole.
pub(in crate::files) type Asked = Arc<Mutex<Vec<Option<(u64, Option<u64>)>>>>;

/// A server without faults that notes what it is asked for.
pub(in crate::files) fn noting(content: Vec<u8>) -> (SocketAddr, Asked) {
    let asked = Asked::default();
    let notes = Arc::clone(&asked);
    let address = server(Box::new(move |_, range| {
        notes.lock().unwrap().push(range);
        ranges(&content, range)
    }));
    (address, asked)
}

fn content() -> Vec<u8> {
    (0..700_001_u32)
        .map(|number| (number % 251) as u8)
        .collect()
}

fn fetched(address: SocketAddr, wanted: &Wanted) -> Result<Vec<u8>, UrlError> {
    let mut file = tempfile::tempfile().unwrap();
    let url = format!("http://{address}/film");
    copy(&agent(true), &url, wanted, &mut file, &mut |_| Ok(()))?;
    io::Seek::rewind(&mut file).unwrap();
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).unwrap();
    Ok(bytes)
}

fn wanted(has_manifest: bool) -> Wanted {
    let tree = Tree::of(&content());
    Wanted {
        id: Some(tree.id()),
        size: has_manifest.then(|| tree.layout().size()),
        claimed: Some(tree.layout().size()),
        limit: 2 << 20,
        manifest: has_manifest.then(|| Arc::new(Manifest::from(tree))),
    }
}

#[test]
fn a_file_comes_from_a_server_with_ranges_or_without() {
    for has_manifest in [true, false] {
        let with = server(Box::new(|_, range| ranges(&content(), range)));
        assert!(fetched(with, &wanted(has_manifest)).unwrap() == content());
        let without = server(Box::new(|_, _| ranges(&content(), None)));
        assert!(fetched(without, &wanted(has_manifest)).unwrap() == content());
    }
}

#[test]
fn a_transfer_that_breaks_off_is_gone_on_with() {
    let address = server(Box::new(|number, range| {
        let mut answer = ranges(&content(), range);
        if number == 0 {
            answer.truncate(300_000);
        } else {
            assert!(range.unwrap().0 > 200_000, "what came does not come again");
        }
        answer
    }));
    assert!(fetched(address, &wanted(false)).unwrap() == content());
}

#[test]
fn a_server_that_sends_a_byte_now_and_then_is_given_up() {
    let second = Duration::from_secs;
    let mut pace = Pace::new(second(5));
    for at in 6..25 {
        pace.count(second(at), 1).unwrap();
    }
    assert!(matches!(pace.count(second(25), 1), Err(UrlError::Trickles)));
    // What came long ago helps nobody.
    let mut pace = Pace::new(second(0));
    pace.count(second(1), 1 << 30).unwrap();
    pace.count(second(20), 1).unwrap();
    assert!(pace.count(second(41), 1).is_err());
}

#[test]
fn other_bytes_are_refused_and_with_hashes_at_once() {
    let other = |_, range| {
        let mut other = content();
        other[5] ^= 1;
        ranges(&other, range)
    };
    let error = fetched(server(Box::new(other)), &wanted(false)).unwrap_err();
    assert!(matches!(error, UrlError::Wrong), "{error}");
    let address = server(Box::new(move |number, range| {
        assert_eq!(number, 0, "nothing more is asked for");
        other(number, range)
    }));
    let error = fetched(address, &wanted(true)).unwrap_err();
    assert!(matches!(error, UrlError::Wrong), "{error}");
    // More than it is said to be.
    let long = server(Box::new(|_, _| {
        ranges(&[content(), content()].concat(), None)
    }));
    let error = fetched(long, &wanted(false)).unwrap_err();
    assert!(matches!(error, UrlError::Wrong), "{error}");
    let missing = server(Box::new(|_, _| answer("404 Not Found", 0, b"")));
    let error = fetched(missing, &wanted(false)).unwrap_err();
    assert!(matches!(error, UrlError::Status(404)), "{error}");
}

#[test]
fn a_false_claim_of_the_size_keeps_no_file_away() {
    for claimed in [0, 1, 700_000, 700_002, 1 << 50] {
        let wanted = Wanted {
            claimed: Some(claimed),
            ..wanted(false)
        };
        for has_ranges in [true, false] {
            let address = server(Box::new(move |_, range| {
                ranges(&content(), range.filter(|_| has_ranges))
            }));
            assert!(fetched(address, &wanted).unwrap() == content(), "{claimed}");
        }
    }
}

#[test]
fn an_end_without_a_length_that_comes_early_is_gone_on_from() {
    let address = server(Box::new(|number, range| match number {
        0 => endless(&content()[..300_000]),
        _ => ranges(&content(), range),
    }));
    assert!(fetched(address, &wanted(false)).unwrap() == content());
    // Whoever has no more is not asked again and again.
    let address = server(Box::new(|number, _| match number {
        0 => endless(&content()[..300_000]),
        1 => answer("416 Range Not Satisfiable", 0, b""),
        _ => panic!("asked again"),
    }));
    let error = fetched(address, &wanted(false)).unwrap_err();
    assert!(matches!(error, UrlError::Wrong), "{error}");
}

#[test]
fn no_more_is_taken_unproven_than_the_limit() {
    let limited = |limit| Wanted {
        limit,
        ..wanted(false)
    };
    let fetch = |wanted: &Wanted, announces: bool| {
        let address = server(Box::new(move |_, _| {
            if announces {
                ranges(&content(), None)
            } else {
                endless(&content())
            }
        }));
        fetched(address, wanted)
    };
    for announces in [true, false] {
        assert!(fetch(&limited(700_001), announces).unwrap() == content());
        let error = fetch(&limited(700_000), announces).unwrap_err();
        let has = announces.then_some(700_001);
        assert!(
            matches!(error, UrlError::TooLarge(known) if known == has),
            "{error}"
        );
    }
    // What hashes prove on the way has no limit.
    let proven = Wanted {
        limit: 0,
        ..wanted(true)
    };
    assert!(fetch(&proven, true).unwrap() == content());
}

#[test]
fn an_address_of_this_machine_is_not_asked_and_redirects_end() {
    let here = server(Box::new(|_, range| ranges(&content(), range)));
    for url in [
        format!("http://{here}/film"),
        format!("http://localhost:{}/", here.port()),
    ] {
        let mut file = tempfile::tempfile().unwrap();
        let refused = copy(&agent(false), &url, &wanted(false), &mut file, &mut |_| {
            Ok(())
        });
        let error = refused.unwrap_err();
        assert!(error.to_string().contains("public"), "{error}");
    }
    let address = server(Box::new(|_, _| {
        answer("302 Found\r\nlocation: /again", 0, b"")
    }));
    let error = fetched(address, &wanted(false)).unwrap_err();
    assert!(matches!(error, UrlError::Failed(_)), "{error}");
}

/// Names of the public Internet that lead to a server of this test; all others are resolved as ever.
#[derive(Debug)]
struct Public(SocketAddr, Checked);

impl ureq::unversioned::resolver::Resolver for Public {
    fn resolve(
        &self,
        uri: &ureq::http::Uri,
        config: &ureq::config::Config,
        timeout: ureq::unversioned::transport::NextTimeout,
    ) -> Result<ureq::unversioned::resolver::ResolvedSocketAddrs, ureq::Error> {
        if uri.host() == Some("public.example") {
            let mut found = self.empty();
            found.push(self.0);
            return Ok(found);
        }
        self.1.resolve(uri, config, timeout)
    }
}

#[test]
fn a_redirect_to_an_address_of_this_machine_is_not_followed() {
    let (inside, asked) = noting(content());
    for place in [
        format!("http://{inside}/film"),
        format!("http://localhost:{}/film", inside.port()),
        format!("http://[::ffff:127.0.0.1]:{}/film", inside.port()),
        "http://169.254.169.254/latest/meta-data".to_owned(),
    ] {
        let outside = server(Box::new(move |_, _| {
            answer(&format!("302 Found\r\nlocation: {place}"), 0, b"")
        }));
        let names = Public(outside, Checked::new(false));
        let agent = Agent::with_parts(config(), DefaultConnector::default(), names);
        let mut file = tempfile::tempfile().unwrap();
        let url = "http://public.example/film";
        let refused = copy(&agent, url, &wanted(false), &mut file, &mut |_| Ok(()));
        let error = refused.unwrap_err();
        assert!(error.to_string().contains("public Internet"), "{error}");
        let refused = range(&agent, url, 0..10, &mut |_| Ok(())).unwrap_err();
        assert!(refused.to_string().contains("public Internet"), "{refused}");
    }
    assert!(asked.lock().unwrap().is_empty());
}
