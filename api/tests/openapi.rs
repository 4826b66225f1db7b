//! The dashboard's types are generated from `openapi.json`: it has to say what the code says.

#[test]
fn the_committed_openapi_document_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi.json");
    let made = api::openapi::json().expect("serialise the document");
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::write(path, &made).expect("write openapi.json");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == made,
        "api/openapi.json is out of date: run UPDATE_OPENAPI=1 cargo nextest run -p api openapi, then npm run types in api/dashboard"
    );
}
