//! Pages of people: coming in, one's own account, and managing others'. All of them work without scripts.

mod account;
mod administration;
mod log_in;
mod passkey;
mod provider;
mod welcome;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use engine::people::{FORM_BYTES_MAX, PeopleError};
use model::Right;

use super::trouble;
use crate::access::{Console, allow, only_logged_in};

/// Their routes.
pub(crate) fn routes() -> Router<Console> {
    let administration = Router::new()
        .route("/administration/people", get(administration::people))
        .route(
            "/administration/people/invite",
            post(administration::invite),
        )
        .route("/administration/people/grant", post(administration::grant))
        .route(
            "/administration/people/disable",
            post(administration::disable),
        )
        .route("/administration/people/reset", post(administration::reset))
        .route(
            "/administration/people/unlock",
            post(administration::unlock),
        )
        .route(
            "/administration/people/end-sessions",
            post(administration::end_sessions),
        )
        .route(
            "/administration/people/directory",
            post(administration::directory),
        )
        .route_layer(from_fn_with_state(Right::SeeAdministration, allow));
    let account = Router::new()
        .route("/logout", get(log_in::out_page).post(log_in::out))
        .route("/account", get(account::page))
        .route("/account/password", post(account::password))
        .route("/account/factor", post(account::factor))
        .route("/account/passkeys/begin", post(passkey::begin))
        .route("/account/passkeys/add", post(passkey::add))
        .route("/account/passkeys/remove", post(passkey::remove))
        .route("/account/mail", post(account::mail))
        .route("/account/sessions", post(account::sessions))
        .route("/account/zone", post(account::zone))
        .route("/account/tokens", post(account::make_token))
        .route("/account/tokens/revoke", post(account::revoke_token))
        .route("/account/break-glass", post(account::break_glass))
        .route("/account/mend-glass", post(account::mend_glass))
        .route_layer(from_fn(only_logged_in));
    Router::new()
        .route("/login", get(log_in::page).post(log_in::name))
        .route("/login/passkey/begin", post(passkey::ask))
        .route("/login/passkey", post(passkey::log_in))
        .route("/login/with/{id}", get(provider::begin))
        .route(
            "/login/back/{id}",
            get(provider::back)
                .post(provider::answered)
                .layer(DefaultBodyLimit::max(FORM_BYTES_MAX)),
        )
        .route("/login/metadata/{id}", get(provider::metadata))
        .route("/login/code", get(log_in::code_page).post(log_in::code))
        .route("/welcome", get(welcome::page).post(welcome::password))
        .route("/welcome/code", post(welcome::code))
        .merge(account)
        .merge(administration)
}

/// What is wrong, at the field it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fault {
    /// The form, where a page has several.
    form: &'static str,
    /// The field; empty when it is about the whole form.
    field: &'static str,
    text: String,
}

impl Fault {
    /// What is wrong with a form, in words; nothing for an error that isn't the fault of who asks.
    fn of(form: &'static str, error: &PeopleError) -> Option<Self> {
        let field = match error {
            PeopleError::Name | PeopleError::NameTaken => "name",
            PeopleError::Shown => "shown",
            PeopleError::Mail => "mail",
            PeopleError::Password { .. } => "password",
            PeopleError::LogIn => "present",
            PeopleError::Code => "code",
            PeopleError::Zone { .. } => "zone",
            PeopleError::Reason => "reason",
            PeopleError::Days | PeopleError::ManagingDays => "days",
            PeopleError::Grants { .. } | PeopleError::Beyond => "role",
            PeopleError::Late
            | PeopleError::Provider { .. }
            | PeopleError::NotHere { .. }
            | PeopleError::Kept
            | PeopleError::NoInvitation
            | PeopleError::NotAllowed { .. }
            | PeopleError::OnlySees
            | PeopleError::ByPerson { .. }
            | PeopleError::Oneself
            | PeopleError::LastAdmin
            | PeopleError::NoSuch
            | PeopleError::Changed => "",
            _ => return None,
        };
        Some(Self::new(form, field, &error.to_string()))
    }

    /// Something wrong, as a sentence.
    fn new(form: &'static str, field: &'static str, text: &str) -> Self {
        let text = super::sentence(text);
        Self { form, field, text }
    }

    /// What is wrong at a field of a form.
    pub(super) fn at(&self, form: &str, field: &str) -> Option<&str> {
        (!self.text.is_empty() && self.form == form && self.field == field).then_some(&self.text)
    }
}

/// A page whose form has to be mended.
fn unfit(page: Response) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
}
