//! The parts of this binary that are servers: hyper, by axum, on clear text or by rustls; and the one by io_uring.

use std::{convert::Infallible, net::SocketAddr, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract,
    http::{StatusCode, Uri},
    serve::Listener,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
    server::TlsStream,
};

use super::{server::PORT, uring};

/// Which of them to be, and its arguments.
pub const SERVE: &str = "SLOWBURN_CONFORMANCE_SERVE";

pub fn serve_when_asked() -> bool {
    let Ok(asked) = std::env::var(SERVE) else {
        return false;
    };
    let (name, rest) = asked.split_once(' ').unwrap_or((&asked, ""));
    if name == "uring" {
        uring::serve(&std::net::TcpListener::bind(("::", PORT)).unwrap());
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind(("::", PORT)).await.unwrap();
        let router = Router::new().fallback(answer);
        match name {
            "hyper" => axum::serve(listener, router).await.unwrap(),
            "rustls" => axum::serve(Rustls::new(listener, rest), router).await.unwrap(),
            _ => panic!("no such server: {name}"),
        }
    });
    true
}

/// A listener that shakes hands before it hands over: clients of the suite do so at once.
struct Rustls {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Rustls {
    fn new(listener: TcpListener, certificate: &str) -> Self {
        let chain = CertificateDer::pem_file_iter(certificate).unwrap();
        let key = PrivateKeyDer::from_pem_file(certificate).unwrap();
        let config = ServerConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain.map(Result::unwrap).collect(), key)
            .unwrap();
        Self {
            listener,
            acceptor: TlsAcceptor::from(std::sync::Arc::new(config)),
        }
    }
}

impl Listener for Rustls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = self.listener.accept().await.unwrap();
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.listener.local_addr()
    }
}

#[expect(clippy::print_stdout, reason = "this is the log that the suite reads")]
async fn answer(request: extract::Request) -> (StatusCode, Body) {
    let (head, body) = request.into_parts();
    let uri: Uri = head.uri;
    let read = axum::body::to_bytes(body, usize::MAX).await;
    let path = uri.path();
    let status = match path {
        "/missing" => StatusCode::NOT_FOUND,
        "/broken" => StatusCode::INTERNAL_SERVER_ERROR,
        "/busy" => StatusCode::SERVICE_UNAVAILABLE,
        _ if read.is_err() => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    };
    if let Some(wait) = path.strip_prefix("/slow/").and_then(|ms| ms.parse().ok()) {
        tokio::time::sleep(Duration::from_millis(wait)).await;
    }
    // In HTTP/2 the rest of it names the server.
    let asked = uri.path_and_query().unwrap();
    println!("{} {asked} {}", head.method, status.as_u16());
    let pieces = || (0..5).map(|_| Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 5000])));
    let body = match path {
        "/chunked" => Body::from_stream(tokio_stream::iter(pieces())),
        "/big" => Body::from(vec![b'x'; 10 << 20]),
        _ => Body::from("fine\n"),
    };
    (status, body)
}
