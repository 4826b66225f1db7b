//! What is logged of each request, and which answers are failures of ours.
//!
//! tower-http takes every 5xx for one and logs it as an error. A process that says it is not ready has done what it was
//! asked; why it is not was logged where it was found, once, and not at each poll.

use std::fmt::Display;

use http::Response;
use tower_http::classify::{
    ClassifiedResponse, ClassifyResponse, NeverClassifyEos, ServerErrorsAsFailures, ServerErrorsFailureClass,
    SharedClassifier,
};
use tower_http::trace::TraceLayer;

/// Goes with a response whose status is the answer, whatever it is elsewhere: it is sent as it is.
#[derive(Debug, Clone, Copy)]
pub struct IsAnswer;

#[derive(Debug, Clone, Default)]
pub struct Failures(ServerErrorsAsFailures);

pub fn layer() -> TraceLayer<SharedClassifier<Failures>> {
    TraceLayer::new(SharedClassifier::new(Failures::default()))
}

impl ClassifyResponse for Failures {
    type FailureClass = ServerErrorsFailureClass;
    type ClassifyEos = NeverClassifyEos<ServerErrorsFailureClass>;

    fn classify_response<B>(
        self,
        response: &Response<B>,
    ) -> ClassifiedResponse<Self::FailureClass, Self::ClassifyEos> {
        if response.extensions().get::<IsAnswer>().is_some() {
            return ClassifiedResponse::Ready(Ok(()));
        }
        self.0.classify_response(response)
    }

    fn classify_error<E: Display + 'static>(self, error: &E) -> Self::FailureClass {
        self.0.classify_error(error)
    }
}
