//! Whether the stores outside a step's scope still sell: what was seen of them, and what is said of that.
//!
//! Plain values that stand in a run's journal. `responders` walks, `playbook` judges and says what a run does about it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A part of the way to the payment, in the order it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WalkStage {
    /// The view's home page.
    Home,
    /// A category's page.
    Category,
    /// A product's page.
    Product,
    /// A guest's cart is made (`POST /V1/guest-carts`).
    Cart,
    /// The product is put into it (`POST …/items`).
    Item,
    /// Ways of shipping (`POST …/estimate-shipping-methods`).
    Shipping,
    /// Ways to pay (`GET …/payment-methods`). None is chosen.
    Payment,
}

impl WalkStage {
    /// Every stage, first to last.
    pub const ALL: [Self; 7] = [
        Self::Home,
        Self::Category,
        Self::Product,
        Self::Cart,
        Self::Item,
        Self::Shipping,
        Self::Payment,
    ];

    /// Its name, as it is written to the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Category => "category",
            Self::Product => "product",
            Self::Cart => "cart",
            Self::Item => "item",
            Self::Shipping => "shipping",
            Self::Payment => "payment",
        }
    }
}

/// What came of one stage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    /// Which.
    pub stage: WalkStage,
    /// HTTP status; `None` when no answer came.
    pub status: Option<u16>,
    /// Until the answer was whole, in milliseconds.
    pub milliseconds: u64,
}

/// How a walk ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "how")]
pub enum WalkEnd {
    /// Every stage passed.
    Passed,
    /// A stage failed, at each try, and not as a load does it.
    Failed {
        /// The stage of the last try.
        stage: WalkStage,
        /// Why.
        why: String,
    },
    /// A stage failed as it does under load, which an attacker can cause: no answer in time, 429, 502, 503, 504.
    Overload {
        /// The stage.
        stage: WalkStage,
        /// Why.
        why: String,
    },
    /// The view wants to see a person (CAPTCHA, a firewall's challenge): nothing is told of it by walking.
    Passive {
        /// The stage.
        stage: WalkStage,
        /// What says so.
        why: String,
    },
}

/// What a walk left behind in the shop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub enum Leftover {
    /// Nothing.
    Nothing,
    /// Carts without content, until Magento's own cron `sales_clean_quotes` erases them.
    EmptyCarts {
        /// How many.
        carts: u32,
        /// Why their rows stay.
        why: String,
    },
    /// Carts with the product in them, or of which nothing more is known; erased by the same cron.
    Carts {
        /// How many.
        carts: u32,
        /// Why they stay.
        why: String,
    },
}

/// A walk through one view, up to the payment and never including it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walk {
    /// The stages of the last try, in order; the last one is where it ended.
    pub stages: Vec<Passage>,
    /// How often it was tried: more than once after a failure only.
    pub tries: u32,
    /// How it ended.
    pub end: WalkEnd,
    /// What stays of all tries.
    pub left: Leftover,
}

/// Orders of one view, as many as its database has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Orders {
    /// In the last 10 minutes.
    pub last_10_minutes: u32,
    /// In the 60 minutes before those.
    pub hour_before: u32,
}

impl Orders {
    /// Whether the last minutes have so few that chance alone doesn't explain it.
    ///
    /// At least ten were to be expected and at most one came: of an even stream that happens once in two thousand times
    /// (Poisson: e⁻¹⁰·11 = 0.0005).
    #[must_use]
    pub const fn have_stopped(self) -> bool {
        self.hour_before >= 60 && self.last_10_minutes <= 1
    }
}

/// What the orders of one view in the last 70 minutes come to, in its website's base currency.
///
/// Canceled ones are in it: they were ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revenue {
    /// Hundredths of the currency's unit, whatever its own coins are.
    pub hundredths: u64,
    /// ISO 4217, as `base_currency_code` has it: three capital letters.
    pub currency: String,
}

/// One view as it was seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewLook {
    /// The walk.
    pub walk: Walk,
    /// Its orders; `None` when they can't be counted here.
    #[serde(default)]
    pub orders: Option<Orders>,
}

/// All views that the guard knows, seen once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// By the view's code.
    pub views: BTreeMap<String, ViewLook>,
    /// Why orders weren't counted; empty when they were.
    #[serde(default)]
    pub orders_lack: String,
    /// What orders came to, by the view's code, where that can be told here.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub revenue: BTreeMap<String, Revenue>,
}

/// Why nothing is said of a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownWhy {
    /// It fails as it does under load, which an attacker can cause.
    Overload,
    /// It wants to see a person.
    Passive,
    /// How it was before the step isn't known.
    Before,
    /// It wasn't walked after the step.
    After,
    /// How far the step reaches isn't known, so it may be meant.
    Scope,
    /// The way to the payment is open and orders have stopped coming: a payment that fails does that, and so does somebody
    /// who stops placing them.
    Orders,
}

/// What is said of one view outside of a step's scope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// It sells.
    Fine,
    /// It sold before the step and doesn't after it.
    Broken {
        /// Where the way ends.
        stage: WalkStage,
        /// Why.
        why: String,
    },
    /// It didn't sell before the step either, which therefore isn't to blame.
    WasBroken,
    /// Nothing is said.
    Unknown {
        /// Why not.
        why: UnknownWhy,
    },
}
