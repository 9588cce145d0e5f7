//! One try: the way of a guest from the home page to the ways to pay, and the cart taken away again.
//!
//! Invariants: no request here pays or places an order, none names a person; what an answer gives goes into a later request only as
//! letters and digits.

use std::net::SocketAddr;
use std::time::Instant;

use model::{Passage, WalkEnd, WalkStage};
use serde_json::json;

use super::settings::{GuardSettings, ViewSettings};
use super::{database, told};
use crate::host::Host;
use crate::http::{Answer, Request};

/// The one cookie that is kept: without it each page begins a session of its own.
const SESSION: &str = "PHPSESSID";
const SESSION_BYTES_MAX: usize = 128;

/// A try under way.
pub(super) struct Tour<'a> {
    host: &'a Host,
    at: SocketAddr,
    settings: &'a GuardSettings,
    view: &'a str,
    of_view: &'a ViewSettings,
    session: Option<String>,
    cart: Cart,
    stages: Vec<Passage>,
}

/// What is known of the try's cart.
enum Cart {
    None,
    /// It was asked for, and its id didn't come.
    Unknown,
    Empty(String),
    /// It has an item, whose number is known or isn't.
    Full(String, Option<u64>),
}

/// What stays of a try.
pub(super) enum Stays {
    Nothing,
    /// An empty cart, and why its row stays.
    Empty(String),
    /// A cart, and why.
    Cart(String),
}

/// A try that is over.
pub(super) struct Tried {
    pub(super) stages: Vec<Passage>,
    pub(super) end: WalkEnd,
    pub(super) stays: Stays,
}

impl<'a> Tour<'a> {
    pub(super) const fn new(
        host: &'a Host,
        at: SocketAddr,
        settings: &'a GuardSettings,
        (view, of_view): (&'a str, &'a ViewSettings),
    ) -> Self {
        Self {
            host,
            at,
            settings,
            view,
            of_view,
            session: None,
            cart: Cart::None,
            stages: Vec::new(),
        }
    }

    /// Goes the way, and takes the cart away however far it came.
    pub(super) fn go(mut self) -> Tried {
        let end = match self.pages().and_then(|()| self.checkout()) {
            Ok(()) => WalkEnd::Passed,
            Err(end) => end,
        };
        let stays = self.take_away();
        Tried {
            stages: self.stages,
            end,
            stays,
        }
    }

    fn pages(&mut self) -> Result<(), WalkEnd> {
        let of = self.of_view;
        for (stage, path) in [
            (WalkStage::Home, &of.home),
            (WalkStage::Category, &of.category),
            (WalkStage::Product, &of.product),
        ] {
            let answer = self.stage(stage, "GET", path.clone(), None)?;
            self.keep_session(&answer);
        }
        Ok(())
    }

    fn checkout(&mut self) -> Result<(), WalkEnd> {
        use WalkStage::{Item, Payment, Shipping};
        let no =
            |stage, what: &str| told::failed(stage, format!("200, and the answer has no {what}"));
        self.cart = Cart::Unknown;
        let answer = self.stage(
            WalkStage::Cart,
            "POST",
            self.carts(""),
            Some("{}".to_owned()),
        );
        if answer.is_err() && self.was_refused() {
            self.cart = Cart::None;
        }
        let cart = told::cart(&answer?.body).ok_or_else(|| no(WalkStage::Cart, "cart"))?;
        let of = self.of_view;
        let item = json!({"cartItem": {"quote_id": cart, "sku": of.sku, "qty": 1}});
        let path = self.carts(&format!("/{cart}/items"));
        self.cart = Cart::Full(cart.clone(), None);
        let answer = self.stage(Item, "POST", path, Some(item.to_string()));
        if answer.is_err() && self.was_refused() {
            self.cart = Cart::Empty(cart.clone());
        }
        let answer = answer?;
        let number = told::item(&answer.body).ok_or_else(|| no(Item, "item"))?;
        self.cart = Cart::Full(cart.clone(), Some(number));
        let address = json!({"address": {"country_id": of.country, "postcode": of.postcode}});
        let path = self.carts(&format!("/{cart}/estimate-shipping-methods"));
        let answer = self.stage(Shipping, "POST", path, Some(address.to_string()))?;
        if !told::ships(&answer.body) {
            return Err(no(Shipping, "way of shipping"));
        }
        let path = self.carts(&format!("/{cart}/payment-methods"));
        let answer = self.stage(Payment, "GET", path, None)?;
        if !told::can_be_paid(&answer.body) {
            return Err(no(Payment, "way to pay"));
        }
        Ok(())
    }

    /// Whether the last stage's request was refused, and so did nothing; one that went wrong or has no answer may have.
    fn was_refused(&self) -> bool {
        let status = self.stages.last().and_then(|last| last.status);
        status.is_some_and(|status| (300..500).contains(&status))
    }

    fn carts(&self, rest: &str) -> String {
        format!("/rest/{}/V1/guest-carts{rest}", self.view)
    }

    /// Goes one stage.
    fn stage(
        &mut self,
        stage: WalkStage,
        method: &'static str,
        path: String,
        body: Option<String>,
    ) -> Result<Answer, WalkEnd> {
        let begun = Instant::now();
        let answer = self.send(method, path, body);
        self.stages.push(Passage {
            stage,
            status: answer.as_ref().ok().map(|answer| answer.status),
            milliseconds: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
        });
        told::passed(stage, answer)
    }

    fn send(
        &self,
        method: &'static str,
        path: String,
        body: Option<String>,
    ) -> Result<Answer, crate::NoAnswer> {
        let mut headers = vec![
            ("User-Agent", self.settings.mark.clone()),
            ("Accept", "*/*".to_owned()),
        ];
        if self.settings.secure {
            headers.push(("X-Forwarded-Proto", "https".to_owned()));
        }
        if let Some(session) = &self.session {
            headers.push(("Cookie", format!("{SESSION}={session}")));
        }
        if body.is_some() {
            headers.push(("Content-Type", "application/json".to_owned()));
        }
        let request = Request {
            method,
            host: self.of_view.host.clone(),
            path,
            headers,
            body,
        };
        let world = &self.host.world;
        world.request(self.at, &request, self.settings.limit)
    }

    fn keep_session(&mut self, answer: &Answer) {
        let value = answer.header("set-cookie").find_map(|line| {
            let (name, rest) = line.split_once('=')?;
            let value = rest.split(';').next()?;
            let is_id = (1..=SESSION_BYTES_MAX).contains(&value.len())
                && value
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b',' | b'-'));
            (name == SESSION && is_id).then(|| value.to_owned())
        });
        self.session = value.or_else(|| self.session.take());
    }

    /// Empties the cart as its owner may, then removes its row where an account of ours may.
    ///
    /// Magento has no call by which a guest's cart is removed: `DELETE …/items/ID` empties it (`GuestCartItemRepository`).
    fn take_away(&self) -> Stays {
        let cart = match &self.cart {
            Cart::None => return Stays::Nothing,
            Cart::Unknown => {
                return Stays::Cart("no answer named it, if it was made at all".to_owned());
            }
            Cart::Full(cart, _) | Cart::Empty(cart) => cart,
        };
        let row = self.host.settings.database.as_ref().map_or_else(
            || Err("the host's settings have no part [database]".to_owned()),
            |_| {
                let removed = database::remove_cart(self.host, self.view, cart);
                removed.map_err(|error| error.to_string())
            },
        );
        let Err(why) = row else {
            return Stays::Nothing;
        };
        match &self.cart {
            Cart::Full(_, Some(item)) if self.empties(cart, *item) => Stays::Empty(why),
            Cart::Empty(_) => Stays::Empty(why),
            _ => Stays::Cart(why),
        }
    }

    /// Takes the item out of the cart.
    fn empties(&self, cart: &str, item: u64) -> bool {
        let path = self.carts(&format!("/{cart}/items/{item}"));
        let answer = self.send("DELETE", path, None);
        answer.is_ok_and(|answer| {
            answer.status == 200
                && serde_json::from_slice(&answer.body).is_ok_and(|done: bool| done)
        })
    }
}
