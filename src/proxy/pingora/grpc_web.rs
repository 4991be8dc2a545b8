//! gRPC-Web by Pingora's module: content types, `te`, and the trailers of the answer as a last frame of its body.

use pingora_core::modules::http::HttpModules;
use pingora_core::modules::http::grpc_web::{GrpcWeb, GrpcWebBridge};
use pingora_proxy::Session;

/// Bridges this request. The module is made for it alone: most requests do without any.
pub(super) fn bridge(session: &mut Session) {
    let mut modules = HttpModules::new();
    modules.add_module(Box::new(GrpcWeb));
    let mut modules = modules.build_ctx();
    if let Some(module) = modules.get_mut::<GrpcWebBridge>() {
        module.init();
        // Pingora asks modules before the filters, so this one has missed its turn.
        module.request_header_filter(session.req_header_mut());
    }
    session.downstream_modules_ctx = modules;
}
