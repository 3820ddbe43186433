//! Connections: the runtime that waits for them, names, TCP and TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout_at};
use tokio_rustls::TlsConnector;

use super::endpoint::Endpoint;
use super::patience::{Patience, first};
use super::{Again, Failure};
use crate::thread;

/// A connection, encrypted or not.
pub(crate) type Stream = Box<dyn ReadWrite>;

/// What a connection can do.
pub(crate) trait ReadWrite: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ReadWrite for S {}

/// Runs the waits of one thread, with deadlines.
pub(crate) struct Waiter(Option<Runtime>);

impl Waiter {
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread()
            .enable_io()
            .enable_time()
            // Only names are resolved on another thread. A resolver that hangs holds this one
            // thread, whatever is asked of it meanwhile.
            .max_blocking_threads(1)
            .thread_name("nanospan-resolver")
            .thread_keep_alive(Duration::from_millis(100))
            .on_thread_start(thread::enter)
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Does `work`, for `timeout` at most and as long as there is patience.
    pub(crate) fn run<T>(
        &self,
        work: impl Future<Output = Result<T, Failure>>,
        timeout: Duration,
        patience: &Patience,
    ) -> Result<T, Failure> {
        let runtime = self.0.as_ref().expect("only a drop takes it");
        let limited = async {
            let work = first(work, sleep(timeout));
            let ended = first(work, patience.over()).await;
            ended.unwrap_or_else(|| {
                let why = "no answer in the time that was left";
                Some(Err(Failure::new(why, Again::Later)))
            })
        };
        runtime.block_on(limited).unwrap_or_else(|| {
            let why = format!("no answer within {timeout:?}");
            Err(Failure::new(why, Again::Later))
        })
    }
}

/// The end waits for nobody, least of all for a resolver that hangs.
impl Drop for Waiter {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Connects.
#[derive(Default)]
pub(crate) struct Dialer {
    /// Made with the first connection that needs it: it reads the system's roots.
    tls: Option<Arc<ClientConfig>>,
}

impl Dialer {
    /// A new connection. `alpn` names the protocols that the caller speaks on it.
    pub(crate) async fn connect(
        &mut self,
        endpoint: &Endpoint,
        alpn: &[&[u8]],
        deadline: Instant,
    ) -> Result<Stream, Failure> {
        let tcp = tcp(endpoint, deadline).await?;
        if !endpoint.is_https() {
            return Ok(Box::new(tcp));
        }
        let config = match &self.tls {
            Some(config) => Arc::clone(config),
            None => Arc::clone(self.tls.insert(tls(alpn)?)),
        };
        let name = ServerName::try_from(endpoint.host().to_owned());
        let name = name.map_err(|error| Failure::new(error.to_string(), Again::Never))?;
        let connected = TlsConnector::from(config).connect(name, tcp).await;
        Ok(Box::new(connected.map_err(handshake_failed)?))
    }
}

/// Tries every address of the host, each for its share of the time.
async fn tcp(endpoint: &Endpoint, deadline: Instant) -> Result<TcpStream, Failure> {
    let addresses = addresses(endpoint).await?;
    let mut errors = Vec::new();
    for (tried, address) in addresses.iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - tried) as u32;
        let share = tokio::time::Instant::now() + share;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // Or the last packet of a request could wait for the answer to the one before.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => errors.push(error),
            Err(_) => errors.push(io::ErrorKind::TimedOut.into()),
        }
    }
    let is_absent = |error: &io::Error| {
        use io::ErrorKind::{AddrNotAvailable, ConnectionRefused};
        matches!(error.kind(), ConnectionRefused | AddrNotAvailable)
    };
    let again = if errors.iter().all(is_absent) {
        Again::Absent
    } else {
        Again::Later
    };
    let why = errors.first().map(io::Error::to_string);
    let why = why.unwrap_or_else(|| "the name has no address".to_owned());
    Err(Failure::new(why, again))
}

async fn addresses(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, Failure> {
    let (host, port) = (endpoint.host(), endpoint.port());
    if endpoint.is_loopback() && host.parse::<IpAddr>().is_err() {
        // The name of this machine, which is known without asking (RFC 6761, 6.3): the usual
        // collector takes no second thread.
        let both = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
        return Ok(both.map(|address| SocketAddr::new(address, port)).into());
    }
    let found = lookup_host((host, port)).await;
    found.map(Iterator::collect).map_err(|error| {
        let why = format!("the name {host} is not found: {error}");
        Failure::new(why, Again::Later)
    })
}

fn tls(alpn: &[&[u8]]) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let why = found
            .errors
            .first()
            .map_or(String::new(), |error| format!(": {error}"));
        let why = format!("no root certificates are found on this system{why}");
        return Err(Failure::new(why, Again::Later));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// A certificate that is not trusted now will not be trusted in a minute.
fn handshake_failed(error: io::Error) -> Failure {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(certificate @ rustls::Error::InvalidCertificate(_)) => {
            Failure::new(certificate.to_string(), Again::Never)
        }
        Some(error) => Failure::new(format!("no TLS: {error}"), Again::Later),
        None => Failure::new(format!("no TLS: {error}"), Again::Later),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// What stands for a resolver that hangs: it waits for the sender's end.
    async fn hang(forever: mpsc::Receiver<()>) -> Result<(), Failure> {
        let _ = tokio::task::spawn_blocking(move || forever.recv()).await;
        Ok(())
    }

    #[test]
    fn a_resolver_that_hangs_holds_up_neither_an_export_nor_the_end() {
        let begun = Instant::now();
        let (waiter, patience) = (Waiter::new().unwrap(), Patience::default());
        let mut ends = Vec::new();
        for _ in 0..3 {
            let (end, forever) = mpsc::channel();
            ends.push(end);
            let result = waiter.run(hang(forever), Duration::from_millis(20), &patience);
            assert_eq!(result.unwrap_err().why, "no answer within 20ms");
        }
        patience.end_by(Instant::now());
        let (end, forever) = mpsc::channel();
        ends.push(end);
        let result = waiter.run(hang(forever), Duration::from_secs(60), &patience);
        assert_eq!(
            result.unwrap_err().why,
            "no answer in the time that was left"
        );
        drop(waiter);
        assert!(begun.elapsed() < Duration::from_secs(30));
        drop(ends);
    }

    #[test]
    fn an_address_that_takes_no_connection_leaves_time_for_the_next() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let waiter = Waiter::new().unwrap();
        let mut dialer = Dialer::default();
        for (host, again) in [("localhost", None), ("[::1]", Some(Again::Absent))] {
            let endpoint = Endpoint::parse(&format!("http://{host}:{port}")).unwrap();
            let deadline = Instant::now() + Duration::from_secs(10);
            let work = dialer.connect(&endpoint, &[], deadline);
            let result = waiter.run(work, Duration::from_secs(10), &Patience::default());
            assert_eq!(result.err().map(|failure| failure.again), again);
        }
    }
}
