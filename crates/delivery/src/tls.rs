//! Certificates that a listener shows, and those that it asks for.
//!
//! Owns: reading the files, reading them again when they change, the handshake.
//! Does not own: listening, what is said on a connection.
//! Invariant: files that cannot be used do not replace those in use; a listener that cannot start with its certificate
//! does not start at all, and never goes on without encryption.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sawyer_config::settings;
use sawyer_model::{Error, ErrorKind};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::http::files::Watched;

settings! {
    /// Encryption of what connects here, with certificates in PEM files. They are read again when they change, so that a
    /// new certificate needs no restart.
    pub struct ListenTlsSettings {
        /// The certificate, and its chain behind it.
        pub cert_file: PathBuf,
        /// The key of the certificate.
        pub key_file: PathBuf,
        /// Certificate authorities of clients. With them every client has to show a certificate that one of them
        /// signed; by default none is asked for.
        pub client_ca_file: Option<PathBuf>,
    }
}

/// Longest time that a handshake may take; whoever connects and says nothing is sent away after it.
const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(10);

/// The encryption of a listener. Clones are the same one.
#[derive(Clone, Debug)]
pub struct ListenTls(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: ListenTlsSettings,
    protocols: Vec<Vec<u8>>,
    watched: Watched,
    current: RwLock<Arc<ServerConfig>>,
}

impl ListenTls {
    /// Reads the files. `protocols` are what may be spoken inside, the most preferred first (ALPN); none if only one is.
    ///
    /// # Errors
    /// `Invalid` if a file cannot be read or used; it is named.
    pub fn open(settings: ListenTlsSettings, protocols: &[&str]) -> Result<Self, Error> {
        let protocols: Vec<_> = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let config = read(&settings, &protocols)?;
        let paths = [Some(&settings.cert_file), Some(&settings.key_file), settings.client_ca_file.as_ref()];
        let watched = Watched::new(paths.into_iter().flatten().cloned().collect());
        Ok(Self(Arc::new(Inner { settings, protocols, watched, current: RwLock::new(Arc::new(config)) })))
    }

    /// Greets whoever has connected, with the certificate as it is now.
    ///
    /// # Errors
    /// If the other side does not speak TLS, has no certificate that is good here, or takes too long.
    pub async fn accept(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(self.current().await);
        tokio::time::timeout(HANDSHAKE_TIME_MAX, acceptor.accept(stream))
            .await
            .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
    }

    async fn current(&self) -> Arc<ServerConfig> {
        let inner = &self.0;
        if inner.watched.changed().await {
            let this = Arc::clone(inner);
            let read = tokio::task::spawn_blocking(move || read(&this.settings, &this.protocols)).await;
            match read {
                Ok(Ok(config)) => *inner.current.write() = Arc::new(config),
                // A certificate and its key change one after the other; the next look finds both.
                Ok(Err(error)) => {
                    tracing::warn!("{}; goes on with the certificate from before", error.chain());
                    inner.watched.retry();
                }
                Err(panic) => tracing::error!("read certificates: {panic}"),
            }
        }
        Arc::clone(&inner.current.read())
    }
}

fn read(settings: &ListenTlsSettings, protocols: &[Vec<u8>]) -> Result<ServerConfig, Error> {
    let ListenTlsSettings { cert_file, key_file, client_ca_file } = settings;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("use TLS", cert_file).because(error))?;
    let builder = match client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .map_err(|error| invalid("use the certificate authorities in", path).because(error))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            let verifier = verifier
                .map_err(|error| invalid("use the certificate authorities in", path).because(error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|error| invalid("read the key in", key_file).because(error))?;
    let mut config = builder
        .with_single_cert(certificates(cert_file)?, key)
        .map_err(|error| invalid("use the certificate and its key in", cert_file).because(error))?;
    config.alpn_protocols = protocols.to_vec();
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|error| invalid("read the certificates in", path).because(error))?;
    if read.is_empty() {
        return Err(invalid("there is no certificate in", path));
    }
    Ok(read)
}

fn invalid(doing: &str, path: &Path) -> Error {
    Error::new(ErrorKind::Invalid, format!("{doing} {}", path.display()))
}

#[cfg(test)]
mod tests {
    use rustls::ClientConfig;
    use rustls::pki_types::ServerName;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsConnector;

    use super::*;

    fn pem(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/tests").join(name)
    }

    fn settings(certificate: impl Into<PathBuf>, client_ca: Option<&str>) -> ListenTlsSettings {
        ListenTlsSettings {
            cert_file: certificate.into(),
            key_file: pem("server.key.pem"),
            client_ca_file: client_ca.map(pem),
        }
    }

    /// Connects once, as one who trusts the authority; gives what was agreed to be spoken, or what went wrong.
    async fn greet(tls: &ListenTls, certificate: Option<&str>) -> Result<String, String> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(pem("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match certificate {
            None => builder.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_file(pem("client.key.pem")).unwrap();
                builder.with_client_auth_cert(certificates(&pem(name)).unwrap(), key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"h2".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = tls.clone();
        let server = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = tls.accept(stream).await?;
            stream.write_all(b"hello").await?;
            stream.shutdown().await
        });
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::IpAddress(address.ip().into());
        let greeted = async {
            let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
            let mut said = String::new();
            stream.read_to_string(&mut said).await?;
            let spoken = stream.get_ref().1.alpn_protocol().unwrap_or_default();
            Ok::<_, std::io::Error>(format!("{said} {}", String::from_utf8_lossy(spoken)))
        };
        let greeted = greeted.await.map_err(|error| error.to_string());
        let _ = server.await.unwrap();
        greeted
    }

    #[tokio::test]
    async fn a_listener_shows_its_certificate_and_agrees_on_what_is_spoken() {
        let tls = ListenTls::open(settings(pem("server.pem"), None), &["h2", "http/1.1"]).unwrap();
        assert_eq!(greet(&tls, None).await.unwrap(), "hello h2");
        let plain = ListenTls::open(settings(pem("server.pem"), None), &[]).unwrap();
        assert_eq!(greet(&plain, None).await.unwrap(), "hello ");
    }

    #[tokio::test]
    async fn clients_show_theirs_where_they_have_to() {
        let tls = ListenTls::open(settings(pem("server.pem"), Some("ca.pem")), &[]).unwrap();
        assert_eq!(greet(&tls, Some("client.pem")).await.unwrap(), "hello ");
        assert!(greet(&tls, None).await.unwrap_err().contains("CertificateRequired"));
        let other = ListenTls::open(settings(pem("server.pem"), Some("expired.pem")), &[]).unwrap();
        assert!(greet(&other, Some("client.pem")).await.is_err());
    }

    #[tokio::test]
    async fn a_changed_certificate_is_shown_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tls.crt");
        std::fs::copy(pem("expired.pem"), &file).unwrap();
        let tls = ListenTls::open(settings(&file, None), &[]).unwrap();
        assert!(greet(&tls, None).await.unwrap_err().contains("expired"));
        std::fs::copy(pem("server.pem"), &file).unwrap();
        later().await;
        assert_eq!(greet(&tls, None).await.unwrap(), "hello ");
        for broken in ["", "-----BEGIN CERTIFICATE-----\nnonsense\n"] {
            std::fs::write(&file, broken).unwrap();
            later().await;
            assert_eq!(greet(&tls, None).await.unwrap(), "hello ", "the one from before");
        }
        std::fs::copy(pem("expired.pem"), &file).unwrap();
        later().await;
        assert!(greet(&tls, None).await.unwrap_err().contains("expired"));
    }

    async fn later() {
        tokio::time::pause();
        tokio::time::advance(Duration::from_secs(60)).await;
        tokio::time::resume();
    }

    #[test]
    fn files_that_cannot_be_used_are_named() {
        let error = |settings| ListenTls::open(settings, &[]).unwrap_err().chain();
        assert!(
            error(settings("/nowhere/tls.crt", None))
                .starts_with("read the certificates in /nowhere/tls.crt")
        );
        assert!(error(settings(pem("server.key.pem"), None)).starts_with("there is no certificate in"));
        let swapped =
            ListenTlsSettings { key_file: pem("client.key.pem"), ..settings(pem("server.pem"), None) };
        assert!(error(swapped).starts_with("use the certificate and its key in"));
    }
}
