"""What senders call the fields of a lead: other names for them, for guessing. Pure."""

from __future__ import annotations

from collections.abc import Mapping

NEW_NAMES: Mapping[str, tuple[str, ...]] = {
    "firstName": ("givenname", "forename", "fname", "namefirst"),
    "lastName": ("surname", "familyname", "lname", "namelast"),
    "company": ("companyname", "organization", "organisation", "organizationname", "organisationname"),
    "phone": ("phonenumber", "mobile", "mobilephone", "telephone"),
    "website": ("homepage", "websiteurl"),
    "address": ("streetaddress", "street", "line1", "addressline1", "address1"),
    "city": ("town", "locality"),
    "zip": ("zipcode", "postalcode", "postcode"),
    "country": ("countryname", "countrycode"),
    "state": ("statecode", "region", "province"),
    "plan": ("planid", "plancode", "planname", "priceid", "productname"),
    "lastPayment": (
        "amountpaid", "amount", "totalamount", "amounttotal", "totalcents", "amountcents",
        "total", "totalprice",
    ),
    "lastPaymentCurrency": ("currency", "currencycode"),
    "lastPaymentAt": ("paidat", "paymentdate"),
    "nextBillingAt": ("nextbillingdate", "nextpaymentdate", "currentperiodend", "renewsat"),
    "cancelledAt": ("canceledat",),
    "dealName": ("dealtitle",),
    "dealAmount": ("dealvalue",),
    "dealCurrency": ("dealcurrencycode",),
    "lastFormName": ("formname", "formtitle"),
    "meetingAt": ("meetingstart", "meetingstarttime"),
}  # fmt: skip
"""Each squeezed (`leaves.squeezed`); the field's own name comes before them."""

NEVER_GUESSED = frozenset(
    {
        "closedAt", "customerStatusModifiedAt", "email", "imported", "insertedAt", "isDeleted", "sourceId",
        "userToken",
    }
)  # fmt: skip
"""Fields that do harm when set by mistake (a lead becomes a customer, or is deleted), or that `lead` has."""

OF_A_PERSON = frozenset(
    {
        "address", "city", "company", "country", "firstName", "jobTitle", "lastName", "phone", "salutation",
        "state", "website", "zip",
    }
)  # fmt: skip
"""Fields whose value is sought first in what a payload says of a person."""
