//! Switches a payment method off for a website, where nothing but the database says otherwise.

use model::{ActionFacts, Arguments, ForensicImpact, Layer, Parameter, ParameterKind, Reach, Undo};

use crate::action::{ActionError, Change, argument};
use crate::database::Database;
use crate::database::row_action::RowAction;
use crate::database::rows::RowChange;
use crate::host::Host;
use crate::payment_setting::PaymentSetting;

static FACTS: ActionFacts = ActionFacts {
    name: "disable_payment_method",
    about: "Switches a payment method off on one website: payment/METHOD/active of the website and of its views is 0",
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
            about: "which method",
        },
    ],
    forensic_impact: ForensicImpact::Alters,
    undo: Undo::Whole,
    layer: Layer::Application,
    reach: Reach::Website,
    acts_on_cause: false,
    closes: true,
    stays_open: "Magento goes by its cached settings until `bin/magento cache:clean config full_page`, after doing and after undoing; \
        a variable CONFIG__WEBSITES__…__PAYMENT__METHOD__ACTIVE of PHP's environment wins over the row: it is looked for, and the survey says where it can't be; \
        the method's vault has a code of its own; a view that was given a setting of its own since the survey; orders that are paid already",
};

/// `disable_payment_method`.
pub(crate) struct DisablePaymentMethod;

impl RowAction for DisablePaymentMethod {
    fn facts(&self) -> &'static ActionFacts {
        &FACTS
    }

    fn rows(
        &self,
        host: &Host,
        database: &mut Database<'_>,
        arguments: &Arguments,
    ) -> Result<(Change, Vec<RowChange>), ActionError> {
        let switched = setting(arguments)?.switched(host, database)?;
        let change = Change {
            what: switched.what,
            now: switched.now,
            then: "off, once cached settings are cleaned".to_owned(),
        };
        Ok((change, switched.rows))
    }

    /// What files set wins over rows: a step that changes nothing isn't done.
    fn refuse(
        &self,
        host: &Host,
        database: &mut Database<'_>,
        arguments: &Arguments,
    ) -> Result<(), ActionError> {
        setting(arguments)?.refuse_locked(host, database)
    }
}

fn setting(arguments: &Arguments) -> Result<PaymentSetting<'_>, ActionError> {
    Ok(PaymentSetting {
        website: argument(arguments, "website")?.as_str(),
        method: argument(arguments, "method")?.as_str(),
        is_on: false,
    })
}
