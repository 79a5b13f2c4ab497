package webui

import (
	"errors"
	"net/http"

	"github.com/labstack/echo/v4"

	"recado/webui/auth"
)

// pageRoutes are the pages for people. What changes something is a POST from a
// form of ours; the gate has checked where it comes from.
func (s *Server) pageRoutes() []route {
	reader, operator, admin := signedIn(), role(auth.RoleOperator), role(auth.RoleAdmin)
	return []route{
		{"GET", "/setup", setup(), nil, s.showSetup},
		{"POST", "/setup", setup(), nil, form(s.doSetup)},
		{"GET", "/login", public(), nil, s.showLogin},
		{"POST", "/login", public(), nil, form(s.doLogin)},
		{"POST", "/logout", signedIn(), nil, form(s.doLogout)},
		{"POST", "/preferences", public(), nil, form(s.setPreferences)},
		{"GET", "/static/*", public(), nil, s.staticFile},
		{"HEAD", "/static/*", public(), nil, s.staticFile},

		{"GET", "/", reader, nil, s.showDashboard},
		{"GET", "/live", reader, nil, s.streamLive},
		{"POST", "/sending/pause", operator, nil, form(s.pausePage)},
		{"POST", "/sending/resume", operator, nil, form(s.resumePage)},

		{"GET", "/write", operator, nil, s.showWrite},
		{"POST", "/write", operator, nil, form(s.doWrite)},
		{"POST", "/write/quote", operator, nil, form(s.quoteWrite)},
		{"POST", "/write/plain", operator, nil, form(s.plainWrite)},

		{"GET", "/messages", reader, nil, s.showMessages},
		{"GET", "/messages/{id}", reader, nil, s.showMessage},
		{"POST", "/messages/{id}/cancel", operator, nil, form(s.cancelPage)},
		{"POST", "/messages/{id}/resolve", operator, nil, form(s.resolvePage)},
		{"POST", "/messages/{id}/release", operator, nil, form(s.releasePage)},
		{"GET", "/held", reader, nil, s.showHeld},
		{"GET", "/held/confirm", operator, nil, s.askHeld},
		{"POST", "/held", operator, nil, form(s.decidePage)},

		{"GET", "/inbox", reader, nil, s.showInbox},
		{"GET", "/inbox/unread", reader, nil, s.showUnread},
		{"POST", "/inbox/read", operator, nil, form(s.markRead)},
		{"POST", "/inbox/reply", operator, nil, form(s.replyPage)},
		{"POST", "/inbox/quote", operator, nil, form(s.quoteReply)},
		{"POST", "/training/inbound", operator, nil, form(s.trainInbound)},

		{"GET", "/lines", reader, nil, s.showLines},
		{"GET", "/lines/{iccid}", reader, nil, s.showSIM},
		{"POST", "/lines/{iccid}", operator, nil, form(s.editSIM)},
		{"POST", "/lines/{iccid}/limits", operator, nil, form(s.setLimitsPage)},
		{"POST", "/lines/{iccid}/hours", operator, nil, form(s.setHoursPage)},
		{"POST", "/lines/{iccid}/balance", operator, nil, form(s.balancePage)},
		{"POST", "/lines/{iccid}/credit", operator, nil, form(s.creditPage)},
		{"POST", "/lines/{iccid}/canary", operator, nil, form(s.canaryPage)},
		{"POST", "/lines/{iccid}/free", operator, nil, form(s.freePage)},
		{"GET", "/rules", reader, nil, s.showRules},
		{"GET", "/rules/new", operator, nil, s.showNewRoute},
		{"POST", "/rules", operator, nil, form(s.addRoutePage)},
		{"GET", "/rules/{id}", operator, nil, s.showRoute},
		{"POST", "/rules/{id}", operator, nil, form(s.editRoutePage)},
		{"POST", "/rules/{id}/move", operator, nil, form(s.moveRoutePage)},
		{"POST", "/rules/{id}/delete", operator, nil, form(s.dropRoutePage)},
		{"POST", "/rules/quiet", operator, nil, form(s.setQuietPage)},
		{"POST", "/rules/canary", operator, nil, form(s.setCanaryPage)},
		{"GET", "/rules/balance", reader, nil, s.showBalance},
		{"POST", "/rules/balance", admin, nil, form(s.setBalancePage)},
		{"POST", "/rules/balance/rule", admin, nil, form(s.setBalanceRule)},
		{"POST", "/rules/balance/rule/delete", admin, nil, form(s.dropBalanceRule)},
		{"POST", "/rules/balance/confirm", admin, nil, form(s.confirmBalance)},
		{"POST", "/lines/{iccid}/ussd", admin, nil, form(s.ussdPage)},
		{"POST", "/lines/{iccid}/pin/forget", admin, nil, form(s.forgetPINPage)},
		{"GET", "/modems/{id}", reader, nil, s.showModem},
		{"POST", "/modems/{id}/restart", operator, nil, form(s.restartPage)},
		{"POST", "/modems/{id}/power", operator, nil, form(s.powerPage)},
		{"POST", "/modems/{id}/foreign", operator, nil, form(s.foreignPage)},
		{"POST", "/modems/{id}/pin", admin, nil, form(s.enterPIN)},
		{"POST", "/modems/{id}/puk", admin, nil, form(s.enterPUK)},
		{"GET", "/doctor", reader, nil, s.showDoctor},
		{"POST", "/doctor/bundle", admin, nil, form(s.sendBundle)},

		{"GET", "/settings", reader, nil, s.showSettings},
		{"POST", "/settings/password", reader, nil, form(s.changePassword)},
		{"POST", "/settings/people", admin, nil, form(s.addPerson)},
		{"POST", "/settings/people/reset", admin, nil, form(s.resetPassword)},
		{"POST", "/settings/clock", operator, nil, form(s.setClock)},
		{"POST", "/settings/misfire", operator, nil, form(s.setMisfire)},
		{"POST", "/settings/backups", admin, nil, form(s.makeBackupPage)},
		{"POST", "/settings/backups/archive", admin, nil, form(s.sendBackup)},
		{"POST", "/settings/rescued", admin, nil, form(s.noteRescue)},
		{"POST", "/settings/retention", admin, nil, form(s.setRetention)},
		{"POST", "/settings/erase", admin, nil, form(s.erasePage)},
		{"POST", "/settings/keys", admin, nil, form(s.addKey)},
		{"POST", "/settings/keys/revoke", admin, nil, form(s.dropKey)},
		{"GET", "/settings/webhooks", admin, nil, s.withHooks(s.showWebhooks)},
		{"POST", "/settings/webhooks", admin, nil, form(s.withHooks(s.addWebhook))},
		{"GET", "/settings/webhooks/{id}", admin, nil, s.withHooks(s.showWebhook)},
		{"POST", "/settings/webhooks/{id}", admin, nil, form(s.withHooks(s.editWebhook))},
		{"POST", "/settings/webhooks/{id}/test", admin, nil, form(s.withHooks(s.testWebhookPage))},
		{"POST", "/settings/webhooks/{id}/rotate", admin, nil, form(s.withHooks(s.rotateWebhookPage))},
		{"POST", "/settings/webhooks/{id}/delete", admin, nil, form(s.withHooks(s.deleteWebhookPage))},
		{"POST", "/settings/webhooks/{id}/replay", admin, nil, form(s.withHooks(s.replayWebhookPage))},
		{"POST", "/settings/webhooks/{id}/deliveries/{delivery}/replay", admin, nil, form(s.withHooks(s.replayDeliveryPage))},
	}
}

// maxForm is the largest form in octets: a thousand recipients and the longest
// text fit, percent-encoded.
const maxForm = 256 << 10

// form reads the body before the handler, and no more than maxForm of it.
func form(h echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		r.Body = http.MaxBytesReader(c.Response(), r.Body, maxForm)
		if err := r.ParseForm(); err != nil {
			if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
				return newProblem(http.StatusRequestEntityTooLarge, "")
			}
			return newProblem(http.StatusUnprocessableEntity, "the form cannot be read")
		}
		return h(c)
	}
}
