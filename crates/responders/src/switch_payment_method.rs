//! Has a website take payments by another method than one whose page can't be trusted.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{ActionError, Change, argument};
use crate::database::Database;
use crate::database::row_action::RowAction;
use crate::database::rows::RowChange;
use crate::host::Host;
use crate::payment_setting::PaymentSetting;

static FACTS: ActionFacts = ActionFacts {
    name: "switch_payment_method",
    about: "Switches a payment method off on one website and another, which is set up, on: payment/METHOD/active of the website and of its views",
    parameters: &[
        Parameter {
            name: "website",
            kind: ParameterKind::Website,
            is_required: true,
            about: "where",
        },
        Parameter {
            name: "method",
            kind: ParameterKind::PaymentMethod,
            is_required: true,
            about: "which method to switch off",
        },
        Parameter {
            name: "instead",
            kind: ParameterKind::PaymentMethod,
            is_required: true,
            about: "which method to offer instead: a gateway's own page or a redirect, where no page of the shop sees a card",
        },
    ],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::Whole,
    layer: Layer::Application,
    reach: Reach::Website,
    acts_on_cause: false,
    closes: false,
    stays_open: "Magento goes by its cached settings until `bin/magento cache:clean config full_page`, after doing and after undoing; \
        that the other method is offered the guard sees, that it takes money nobody does: buy something; a page that was changed can still ask for a card and show a form of its own; \
        a variable CONFIG__WEBSITES__…__PAYMENT__METHOD__ACTIVE of PHP's environment wins over the row: it is looked for, and the survey says where it can't be",
};

/// `switch_payment_method`.
pub(crate) struct SwitchPaymentMethod;

impl RowAction for SwitchPaymentMethod {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn rows(
        &self,
        host: &Host,
        database: &mut Database<'_>,
        arguments: &Arguments,
    ) -> Result<(Change, Vec<RowChange>), ActionError> {
        let [off, on] = settings(arguments)?;
        // First what is offered instead: all of them change together, but whoever reads the plan reads it in this order.
        let (on, off) = (on.switched(host, database)?, off.switched(host, database)?);
        let change = Change {
            what: format!("{}, and {}", on.what, off.what),
            now: format!("{}, and {}", on.now, off.now),
            then: "on, and off, once cached settings are cleaned".to_owned(),
        };
        Ok((change, [on.rows, off.rows].concat()))
    }

    /// What files set wins over rows, and a method that isn't set up is none.
    fn refuse(
        &self,
        host: &Host,
        database: &mut Database<'_>,
        arguments: &Arguments,
    ) -> Result<(), ActionError> {
        let [off, on] = settings(arguments)?;
        if off.method == on.method {
            return Err(ActionError::refused(format!(
                "`instead` is the method that is switched off: {}",
                on.method
            )));
        }
        off.refuse_locked(host, database)?;
        on.refuse_locked(host, database)?;
        on.refuse_bare(database)
    }
}

/// What is switched off, and what on.
fn settings(arguments: &Arguments) -> Result<[PaymentSetting<'_>; 2], ActionError> {
    let website = argument(arguments, "website")?.as_str();
    let of = |name, is_on| {
        let method = argument(arguments, name)?.as_str();
        Ok(PaymentSetting {
            website,
            method,
            is_on,
        })
    };
    Ok([of("method", false)?, of("instead", true)?])
}
