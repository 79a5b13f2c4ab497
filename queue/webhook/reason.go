package webhook

import "strings"

// reason is one kind of what an attempt may come to. Its English text is kept with
// the delivery, and told over the API; its code lets a page say the same in another
// language.
type reason struct {
	code string
	// text is before and after of what varies; varies says whether anything does.
	before, after string
	varies        bool
}

// Reasons of failures, of one kind each.
var (
	reasonEvent    = reason{code: "event", before: "the event cannot be read"}
	reasonErased   = reason{code: "erased", before: "the event was erased"}
	reasonSealed   = reason{code: "sealed", before: ErrSealed.Error()}
	reasonAddress  = reason{code: "address", before: "the address cannot be called"}
	reasonUnseen   = reason{code: "unseen", before: "no answer was seen"}
	reasonLong     = reason{code: "long", before: longFailed}
	reasonGone     = reason{code: "gone", before: "it answered 410: nobody wants this any more"}
	reasonRedirect = reason{code: "redirect", before: "it answered ", varies: true, after: ": redirects are not followed; enter the address that it leads to"}
	reasonStatus   = reason{code: "status", before: "it answered ", varies: true}
	reasonNoName   = reason{code: "no_name", before: "there is no such name in the DNS"}
	reasonLookup   = reason{code: "lookup", before: "the name could not be looked up"}
	reasonCertHost = reason{code: "cert_host", before: "its certificate is for another name"}
	reasonCertUnit = reason{code: "cert_unknown", before: "its certificate is from an authority that is not known"}
	reasonCert     = reason{code: "cert", before: "its certificate is not valid"}
	reasonNoLink   = reason{code: "no_connection", before: "no connection within 5 seconds"}
	reasonClosed   = reason{code: "closed", before: "no connection: connection refused"}
	reasonNoRoute  = reason{code: "no_route", before: "no connection: no route to host"}
	reasonOffline  = reason{code: "offline", before: "no connection: network is unreachable"}
	reasonDial     = reason{code: "dial", before: "no connection: ", varies: true}
	reasonSlow     = reason{code: "slow", before: "no answer within 10 seconds"}
	reasonBroken   = reason{code: "broken", before: "the connection broke off"}
	reasonRefused  = reason{code: "refused", before: ErrRefused.Error()}
	reasonOwn      = refusedAs("own", ownAdvice)
	reasonPrivate  = refusedAs("private", privateAdvice)
	reasonLocal    = refusedAs("special", localAdvice)
	reasonSpecial  = refusedAs("special", specialAdvice)
)

const longFailed = "the webhook failed for 72 hours"

// reasons in the order in which a text is compared: the exact ones first.
var reasons = []reason{reasonEvent, reasonErased, reasonSealed, reasonAddress, reasonUnseen, reasonLong, reasonGone, reasonRedirect,
	reasonStatus, reasonNoName, reasonLookup, reasonCertHost, reasonCertUnit, reasonCert, reasonNoLink, reasonClosed, reasonNoRoute,
	reasonOffline, reasonDial, reasonSlow, reasonBroken, reasonRefused, reasonOwn, reasonPrivate, reasonLocal, reasonSpecial}

// refusedAs is an address that is not connected to; the address varies.
func refusedAs(code, why string) reason {
	return reason{code: code, before: ErrRefused.Error() + " (", varies: true, after: "): " + why}
}

// of is the text with what varies.
func (r reason) of(what string) string { return r.before + what + r.after }

// ReasonCodes are all codes that Reason gives.
func ReasonCodes() []string {
	var codes []string
	for _, r := range reasons {
		codes = append(codes, r.code)
	}
	return codes
}

// Reason gives the stable code of an Endpoint's or a Delivery's error, and what
// varies in it: a status, an address, the system's own word; "" nothing. A text of
// an earlier version may have no code: "".
func Reason(text string) (code, what string) {
	for _, r := range reasons {
		rest, is := strings.CutPrefix(text, r.before)
		if !is {
			continue
		}
		if what, is = strings.CutSuffix(rest, r.after); is && (what != "") == r.varies {
			return r.code, what
		}
	}
	return "", ""
}
