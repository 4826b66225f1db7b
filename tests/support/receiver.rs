//! Peers that slowburn calls: an OTLP receiver over gRPC and HTTP, and a signed webhook's receiver.

#![allow(dead_code, reason = "each test binary uses its own part of this")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

type Spans = Arc<Mutex<Vec<Span>>>;
type Calls = Arc<Mutex<Vec<(HeaderMap, serde_json::Value)>>>;

/// Receives what is sent to it, for as long as it lives.
#[derive(Debug)]
pub struct Receiver {
    spans: Spans,
    calls: Calls,
    pub grpc: SocketAddr,
    /// `/v1/traces` for OTLP, `/hook` for the webhook.
    pub http: SocketAddr,
    _runtime: Runtime,
}

impl Receiver {
    pub fn start() -> Receiver {
        let runtime = Runtime::new().unwrap();
        let (spans, calls) = (Spans::default(), Calls::default());
        let (grpc, http) = runtime.block_on(async {
            let bind = || TcpListener::bind("127.0.0.1:0");
            (bind().await.unwrap(), bind().await.unwrap())
        });
        let addresses = (grpc.local_addr().unwrap(), http.local_addr().unwrap());
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/hook", post(hook))
            .with_state((Arc::clone(&spans), Arc::clone(&calls)));
        runtime.spawn(async move { axum::serve(http, router).await.unwrap() });
        let service = TraceServiceServer::new(Grpc(Arc::clone(&spans)));
        runtime.spawn(async move {
            let incoming = tonic::transport::server::TcpIncoming::from(grpc);
            tonic::transport::Server::builder()
                .add_service(service)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Receiver {
            spans,
            calls,
            grpc: addresses.0,
            http: addresses.1,
            _runtime: runtime,
        }
    }

    pub fn spans(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }

    pub fn calls(&self) -> Vec<(HeaderMap, serde_json::Value)> {
        self.calls.lock().unwrap().clone()
    }
}

fn keep(spans: &Spans, request: ExportTraceServiceRequest) {
    let scopes = request
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans);
    spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
}

async fn traces(State((spans, _)): State<(Spans, Calls)>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if headers
        .get(header::CONTENT_TYPE)
        .is_none_or(|kind| kind != "application/x-protobuf")
    {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    match ExportTraceServiceRequest::decode(body) {
        Ok(request) => keep(&spans, request),
        Err(_) => return StatusCode::BAD_REQUEST,
    }
    StatusCode::OK
}

async fn hook(State((_, calls)): State<(Spans, Calls)>, headers: HeaderMap, body: Bytes) -> StatusCode {
    match serde_json::from_slice(&body) {
        Ok(body) => calls.lock().unwrap().push((headers, body)),
        Err(_) => return StatusCode::BAD_REQUEST,
    }
    StatusCode::NO_CONTENT
}

struct Grpc(Spans);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        keep(&self.0, request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse {
            partial_success: None,
        }))
    }
}
