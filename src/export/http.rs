//! OTLP over HTTP/1.1: a POST for each batch, on one connection that is kept.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;

use super::dial::{Dialer, Stream, Waiter};
use super::endpoint::{Endpoint, redacted};
use super::patience::{Patience, first};
use super::retry::retry_after;
use super::{Again, Failure, Reply, WayOut};

/// Where and how to send.
#[derive(Clone, Debug)]
pub struct HttpConfig {
    /// The URL.
    pub endpoint: Endpoint,
    /// Headers that every request gets beside our own.
    pub headers: HeaderMap,
    /// How long one export may take.
    pub timeout: Duration,
    /// What is sent is gzip.
    pub gzip: bool,
}

impl HttpConfig {
    /// The settings for an endpoint about which nothing else was said. On this machine compressing
    /// costs more than it saves: 80 times what making the bytes does.
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            gzip: !endpoint.is_loopback(),
            endpoint,
            headers: HeaderMap::new(),
            timeout: Duration::from_secs(10),
        }
    }
}

/// A collector on this machine.
impl Default for HttpConfig {
    fn default() -> Self {
        let endpoint = Endpoint::parse("http://localhost:4318");
        Self::new(endpoint.expect("a URL"))
    }
}

/// A kept connection that was idle for longer is not used again: what lies between may have
/// forgotten it without a word, and the request would wait for its timeout.
const LONGEST_IDLE: Duration = Duration::from_secs(30);

/// What an answer holds beyond this is not read.
const LONGEST_ANSWER: usize = 64 << 10;

/// OTLP exporter specification, "User Agent".
const USER_AGENT: &str = concat!(
    "OTel-OTLP-Exporter-nanospan/",
    env!("CARGO_PKG_VERSION"),
    " (Python)"
);

/// Sends to one URL.
pub(crate) struct HttpOut {
    config: HttpConfig,
    // Dropped before the runtime that it waits on.
    client: Client,
    /// Made with the first batch, by the thread that sends it.
    waiter: Option<Waiter>,
}

#[derive(Default)]
struct Client {
    kept: Option<Connection>,
    dialer: Dialer,
}

impl HttpOut {
    pub(crate) fn new(mut config: HttpConfig) -> Self {
        let headers = &mut config.headers;
        headers
            .entry(header::USER_AGENT)
            .or_insert(HeaderValue::from_static(USER_AGENT));
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, protobuf);
        if config.gzip {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        Self {
            config,
            client: Client::default(),
            waiter: None,
        }
    }
}

impl WayOut for HttpOut {
    fn send(&mut self, bytes: &Bytes, patience: &Patience) -> Result<Reply, Failure> {
        let waiter = match &mut self.waiter {
            Some(waiter) => waiter,
            none => none.insert(
                Waiter::new().map_err(|error| Failure::new(error.to_string(), Again::Later))?,
            ),
        };
        let exchange = self.client.exchange(&self.config, bytes, patience);
        waiter.run(exchange, self.config.timeout, patience)
    }

    fn rest(&mut self) {
        self.client.kept = None;
        self.waiter = None;
    }
}

impl Client {
    /// One request and its answer. Whoever gives up waiting drops the connection with this future.
    async fn exchange(
        &mut self,
        config: &HttpConfig,
        bytes: &Bytes,
        patience: &Patience,
    ) -> Result<Reply, Failure> {
        let deadline = Instant::now() + config.timeout;
        if let Some(kept) = self.kept.take().filter(Connection::is_usable) {
            // The server may have closed it at any time since: then a new one, at once.
            if let Ok(answer) = kept.post(request(config, bytes)).await {
                return self.keep(answer);
            }
        }
        let stream = self
            .dialer
            .connect(&config.endpoint, &[b"http/1.1"], deadline);
        let stream = first(stream, patience.fork()).await;
        let stream = stream.ok_or_else(|| Failure::new("a fork", Again::AfterFork))?;
        let new = Connection::open(stream?).await.map_err(broken)?;
        let answer = new.post(request(config, bytes)).await.map_err(broken)?;
        self.keep(answer)
    }

    fn keep(&mut self, answer: Answer) -> Result<Reply, Failure> {
        self.kept = answer.connection;
        judge(answer.status, &answer.headers, answer.body)
    }
}

fn request(config: &HttpConfig, bytes: &Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::post(config.endpoint.target().as_str())
        .body(Full::new(bytes.clone()))
        .expect("the target was parsed before");
    *request.headers_mut() = config.headers.clone();
    let host = HeaderValue::from_str(config.endpoint.authority());
    request
        .headers_mut()
        .entry(header::HOST)
        .or_insert(host.expect("an authority is visible ASCII"));
    request
}

/// An open connection between requests.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    work: Work,
    idle_since: Instant,
}

/// What moves the bytes of a connection while somebody waits for an answer.
struct Work {
    connection: http1::Connection<TokioIo<Stream>, Full<Bytes>>,
    ended: bool,
}

/// What came back, and the connection if it can be used again.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
    connection: Option<Connection>,
}

impl Connection {
    async fn open(stream: Stream) -> hyper::Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            sender,
            work: Work {
                connection,
                ended: false,
            },
            idle_since: Instant::now(),
        })
    }

    fn is_usable(&self) -> bool {
        !self.work.ended && self.idle_since.elapsed() < LONGEST_IDLE
    }

    /// Sends a request. An error says that no answer came at all.
    async fn post(mut self, request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        let sending = self.sender.send_request(request);
        let response = self.work.beside(sending).await?;
        let (head, body) = response.into_parts();
        let (body, whole) = self.work.beside(read(body)).await;
        self.idle_since = Instant::now();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
            connection: (whole && !self.work.ended).then_some(self),
        })
    }
}

/// The body, cut where it gets too long; and whether it came whole.
async fn read(mut body: Incoming) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        // The status has come, and with it the verdict.
        let Ok(frame) = frame else {
            return (bytes, false);
        };
        let data = frame.into_data().unwrap_or_default();
        let room = LONGEST_ANSWER - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return (bytes, false);
        }
    }
    (bytes, true)
}

impl Work {
    /// Waits for `wanted` and moves the bytes meanwhile.
    async fn beside<F: Future>(&mut self, wanted: F) -> F::Output {
        let mut wanted = pin!(wanted);
        poll_fn(|context| {
            if !self.ended {
                self.ended = Pin::new(&mut self.connection).poll(context).is_ready();
            }
            wanted.as_mut().poll(context)
        })
        .await
    }
}

/// What an answer means (OTLP specification, "OTLP/HTTP Response").
fn judge(status: StatusCode, headers: &HeaderMap, body: Vec<u8>) -> Result<Reply, Failure> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default();
    let reply = Reply {
        content_type: content_type.trim().to_ascii_lowercase(),
        body,
    };
    if status.is_success() {
        return Ok(reply);
    }
    let asked = text(header::RETRY_AFTER).and_then(|v| retry_after(v, SystemTime::now()));
    let again = match status.as_u16() {
        429 | 502..=504 => asked.map_or(Again::Later, Again::After),
        _ => Again::Never,
    };
    let mut why = format!("answered {status}");
    if status.is_redirection() {
        let place =
            text(header::LOCATION).map_or(String::new(), |v| format!(" to {}", redacted(v)));
        why = format!("answered {status}{place}, and redirects are not followed");
    }
    Err(Failure { why, again, reply })
}

/// A connection that ended without an answer.
fn broken(error: hyper::Error) -> Failure {
    let mut why = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        why = format!("{why}: {inner}");
        cause = inner.source();
    }
    Failure::new(why, Again::Later)
}
