//! What a handler takes from a request. What cannot be taken is told as a [`Problem`], like everything else that goes wrong.

use axum::{
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request, rejection::BytesRejection},
    http::{StatusCode, request::Parts},
};
use serde::de::DeserializeOwned;

use crate::problem::{Problem, ProblemKind};

/// The `{name}` of the route.
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(name)| Self(name))
            .map_err(|error| Problem::new(ProblemKind::BadRequest, format_args!("the path: {error}")))
    }
}

/// The query.
pub(crate) struct Params<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(params)| Self(params)).map_err(|rejection| {
            Problem::new(
                ProblemKind::BadRequest,
                format_args!("the query of {}: {}", parts.uri.path(), rejection.body_text()),
            )
        })
    }
}

/// The body, as text. Whether it is called JSON in the headers does not matter: it must be some.
pub(crate) struct Text(pub(crate) String);

impl<S: Send + Sync> FromRequest<S> for Text {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unread(&rejection))?;
        String::from_utf8(bytes.into())
            .map(Self)
            .map_err(|_| Problem::new(ProblemKind::BadRequest, "the body is not UTF-8 text"))
    }
}

fn unread(rejection: &BytesRejection) -> Problem {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(ProblemKind::TooLarge, "the body is larger than this route takes");
    }
    Problem::new(ProblemKind::BadRequest, format_args!("the body cannot be read: {}", rejection.body_text()))
}

/// The body, as a document.
pub(crate) struct Document<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Document<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let path = request.uri().path().to_owned();
        let Text(text) = Text::from_request(request, state).await?;
        serde_json::from_str(&text).map(Self).map_err(|error| {
            Problem::new(ProblemKind::BadRequest, format_args!("the body is not what {path} takes: {error}"))
        })
    }
}
