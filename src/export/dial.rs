//! Connections: the runtime that waits for them, names, TCP and TLS.

use std::io;
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
    let name = (endpoint.host(), endpoint.port());
    let found = lookup_host(name).await.map_err(|error| {
        let why = format!("the name {} is not found: {error}", endpoint.host());
        Failure::new(why, Again::Later)
    })?;
    let addresses: Vec<_> = found.collect();
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
    let refused = errors
        .iter()
        .all(|error| error.kind() == io::ErrorKind::ConnectionRefused);
    let why = errors
        .pop()
        .map_or("the name has no address".to_owned(), |error| {
            error.to_string()
        });
    let again = if refused { Again::Absent } else { Again::Later };
    Err(Failure::new(why, again))
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
