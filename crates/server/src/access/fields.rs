//! A form's fields, some of them several times.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use url::form_urlencoded;

/// A form's fields as they were sent.
#[derive(Debug, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(crate) fn read(bytes: &[u8]) -> Self {
        Self(form_urlencoded::parse(bytes).into_owned().collect())
    }

    /// A field's text; empty when it wasn't sent.
    pub(crate) fn text(&self, name: &str) -> &str {
        let field = self.0.iter().find(|(of, _)| of == name);
        field.map_or("", |(_, text)| text.as_str())
    }

    /// Every field with its text, as sent.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.0.iter();
        fields.map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Every text of a field that is sent several times.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let fields = self.0.iter();
        fields
            .filter(move |(of, _)| of == name)
            .map(|(_, text)| text.as_str())
    }
}

impl FromIterator<(String, String)> for Fields {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(fields: T) -> Self {
        Self(fields.into_iter().collect())
    }
}

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        use axum::response::IntoResponse as _;
        let body = Bytes::from_request(request, state).await;
        let body = body.map_err(|refused| refused.into_response())?;
        Ok(Self::read(&body))
    }
}
