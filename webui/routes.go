package webui

import (
	"fmt"
	"strings"

	"github.com/labstack/echo/v4"

	"recado/webui/auth"
)

// route is one line of the table. Exactly one of api and handle is set.
type route struct {
	method, path string // path as OpenAPI writes it: /messages/{id}
	who          access
	api          *operation
	handle       echo.HandlerFunc
}

type routeKey struct{ method, path string } // path as Echo writes it: /messages/:id

const v1 = "/api/v1"

// table is every route of the server: the API here, the pages in page_routes.go.
// A route that is not in it does not exist; who may is asked before its handler.
func (s *Server) table() []route {
	return append([]route{
		{"POST", v1 + "/messages", scope(auth.MessagesSend), s.submitMessages(), nil},
		{"GET", v1 + "/messages", scope(auth.MessagesRead), s.listMessages(), nil},
		{"POST", v1 + "/messages/quote", scope(auth.MessagesSend), s.quoteMessages(), nil},
		{"GET", v1 + "/messages/{id}", scope(auth.MessagesRead), s.getMessage(), nil},
		{"DELETE", v1 + "/messages/{id}", scope(auth.MessagesSend), s.cancelMessage(), nil},
		{"GET", v1 + "/messages/{id}/timeline", scope(auth.MessagesRead), s.messageTimeline(), nil},
		{"POST", v1 + "/messages/{id}/resolve", scope(auth.MessagesSend), s.resolveMessage(), nil},
		{"POST", v1 + "/messages/{id}/release", scope(auth.SIMsControl), s.releaseMessage(), nil},
		{"GET", v1 + "/held", scope(auth.MessagesRead), s.listHeld(), nil},
		{"POST", v1 + "/held/release", scope(auth.SIMsControl), s.releaseHeld(), nil},
		{"POST", v1 + "/held/discard", scope(auth.SIMsControl), s.discardHeld(), nil},

		{"GET", v1 + "/inbox", scope(auth.InboxRead), s.listInbox(), nil},
		{"GET", v1 + "/inbox/{id}", scope(auth.InboxRead), s.getInbox(), nil},
		{"PATCH", v1 + "/inbox/{id}", scope(auth.InboxWrite), s.patchInbox(), nil},
		{"GET", v1 + "/conversations", scope(auth.InboxRead), s.listConversations(), nil},
		{"GET", v1 + "/conversations/{number}/messages", scope(auth.InboxRead), s.conversationMessages(), nil},
		{"POST", v1 + "/conversations/{number}/reply", scope(auth.MessagesSend), s.replyConversation(), nil},

		{"GET", v1 + "/sims", scope(auth.SIMsRead), s.listSIMs(), nil},
		{"GET", v1 + "/sims/{iccid}", scope(auth.SIMsRead), s.getSIM(), nil},
		{"PATCH", v1 + "/sims/{iccid}", scope(auth.SIMsControl), s.patchSIM(), nil},
		{"GET", v1 + "/sims/{iccid}/balance", scope(auth.SIMsControl), s.listBalances(), nil},
		{"POST", v1 + "/sims/{iccid}/balance", scope(auth.SIMsControl), s.simBalance(), nil},
		{"POST", v1 + "/sims/{iccid}/canary", scope(auth.SIMsControl), s.simCanary(), nil},
		{"DELETE", v1 + "/sims/{iccid}/quarantine", scope(auth.SIMsControl), s.endQuarantine(), nil},
		{"GET", v1 + "/canaries", scope(auth.SIMsRead), s.listCanaries(), nil},
		{"GET", v1 + "/canary-settings", scope(auth.SIMsRead), s.getCanarySettings(), nil},
		{"PATCH", v1 + "/canary-settings", scope(auth.SIMsControl), s.patchCanarySettings(), nil},
		{"GET", v1 + "/balance-settings", scope(auth.SIMsRead), s.getBalanceSettings(), nil},
		{"PATCH", v1 + "/balance-settings", scope(auth.Admin), s.patchBalanceSettings(), nil},
		{"GET", v1 + "/quiet-hours", scope(auth.SIMsRead, auth.MessagesRead), s.getQuietHours(), nil},
		{"PATCH", v1 + "/quiet-hours", scope(auth.SIMsControl), s.patchQuietHours(), nil},
		{"GET", v1 + "/routes", scope(auth.SIMsRead), s.listRoutes(), nil},
		{"POST", v1 + "/routes", scope(auth.SIMsControl), s.createRoute(), nil},
		{"GET", v1 + "/routes/{id}", scope(auth.SIMsRead), s.getRoute(), nil},
		{"PATCH", v1 + "/routes/{id}", scope(auth.SIMsControl), s.patchRoute(), nil},
		{"DELETE", v1 + "/routes/{id}", scope(auth.SIMsControl), s.deleteRoute(), nil},
		{"POST", v1 + "/sims/{iccid}/ussd", scope(auth.Admin), s.simUSSD(), nil},
		{"DELETE", v1 + "/sims/{iccid}/pin", scope(auth.Admin), s.forgetPIN(), nil},
		{"GET", v1 + "/modems", scope(auth.SIMsRead), s.listModems(), nil},
		{"GET", v1 + "/modems/{id}", scope(auth.SIMsRead), s.getModem(), nil},
		{"POST", v1 + "/modems/{id}/restart", scope(auth.SIMsControl), s.restartModem(), nil},
		{"POST", v1 + "/modems/{id}/power", scope(auth.SIMsControl), s.modemPower(), nil},
		{"POST", v1 + "/modems/{id}/pin", scope(auth.Admin), s.modemPIN(), nil},
		{"POST", v1 + "/modems/{id}/puk", scope(auth.Admin), s.modemPUK(), nil},
		{"GET", v1 + "/modems/{id}/history", scope(auth.SIMsRead), s.modemHistory(), nil},
		{"GET", v1 + "/modems/{id}/trace", scope(auth.SIMsRead), s.modemTrace(), nil},
		{"GET", v1 + "/doctor", scope(auth.SIMsRead), s.getDoctor(), nil},
		{"GET", v1 + "/status", scope(auth.SIMsRead, auth.MessagesRead), s.getStatus(), nil},
		{"POST", v1 + "/sending/pause", scope(auth.SIMsControl), s.pauseSending(), nil},
		{"POST", v1 + "/sending/resume", scope(auth.SIMsControl), s.resumeSending(), nil},
		{"GET", v1 + "/clock", scope(auth.SIMsRead, auth.MessagesRead), s.getClock(), nil},
		{"PATCH", v1 + "/clock", scope(auth.SIMsControl), s.patchClock(), nil},
		{"POST", v1 + "/clock/trust", scope(auth.SIMsControl), s.trustClock(), nil},
		{"GET", v1 + "/backups", scope(auth.Admin), s.listBackups(), nil},
		{"POST", v1 + "/backups", scope(auth.Admin), s.makeBackup(), nil},
		{"GET", v1 + "/retention", scope(auth.Admin), s.getRetention(), nil},
		{"PATCH", v1 + "/retention", scope(auth.Admin), s.patchRetention(), nil},
		{"POST", v1 + "/erase", scope(auth.Admin), s.eraseNumber(), nil},

		// Each event is shown only to who may read its kind.
		{"GET", v1 + "/events", scope(auth.MessagesRead, auth.InboxRead, auth.SIMsRead, auth.ContactsRead, auth.CampaignsRead, auth.Webhooks),
			nil, s.streamEvents},

		{"GET", v1 + "/webhooks", scope(auth.Webhooks), s.listWebhooks(), nil},
		{"POST", v1 + "/webhooks", scope(auth.Webhooks), s.createWebhook(), nil},
		{"GET", v1 + "/webhooks/{id}", scope(auth.Webhooks), s.getWebhook(), nil},
		{"PATCH", v1 + "/webhooks/{id}", scope(auth.Webhooks), s.patchWebhook(), nil},
		{"DELETE", v1 + "/webhooks/{id}", scope(auth.Webhooks), s.deleteWebhook(), nil},
		{"POST", v1 + "/webhooks/{id}/test", scope(auth.Webhooks), s.testWebhook(), nil},
		{"POST", v1 + "/webhooks/{id}/rotate", scope(auth.Webhooks), s.rotateWebhook(), nil},
		{"POST", v1 + "/webhooks/{id}/replay", scope(auth.Webhooks), s.replayWebhook(), nil},
		{"GET", v1 + "/webhooks/{id}/deliveries", scope(auth.Webhooks), s.listDeliveries(), nil},
		{"POST", v1 + "/webhook-deliveries/{id}/replay", scope(auth.Webhooks), s.replayDelivery(), nil},

		{"GET", v1 + "/keys", scope(auth.Admin), s.listKeys(), nil},
		{"POST", v1 + "/keys", scope(auth.Admin), s.createKey(), nil},
		{"DELETE", v1 + "/keys/{id}", scope(auth.Admin), s.revokeKey(), nil},
		{"POST", v1 + "/emulator/inbound", scope(auth.InboxWrite), s.emulateInbound(), nil},

		// Nothing private: whether it lives, and what the API looks like.
		{"GET", "/health/live", public(), nil, s.healthLive},
		{"HEAD", "/health/live", public(), nil, s.healthLive},
		{"GET", "/health/ready", public(), nil, s.healthReady},
		{"HEAD", "/health/ready", public(), nil, s.healthReady},
		{"GET", "/openapi.json", public(), nil, s.openAPI},
		{"GET", "/docs", public(), nil, s.docs},
		{"GET", "/metrics", ownBoxOrKey(), nil, s.showMetrics},
	}, s.pageRoutes()...)
}

// access says who may use a route. The zero value lets nobody in.
type access struct {
	public bool         // everybody
	setup  bool         // everybody, while no administrator exists
	anyone bool         // every key and every person
	own    bool         // everybody on the box itself
	scopes []auth.Scope // who has one of them, or admin
	role   auth.Role    // a person of this role or a mightier one, and the console
}

func public() access                   { return access{public: true} }
func setup() access                    { return access{setup: true} }
func signedIn() access                 { return access{role: auth.RoleReader} }
func role(least auth.Role) access      { return access{role: least} }
func scope(oneOf ...auth.Scope) access { return access{scopes: oneOf} }
func ownBoxOrKey() access              { return access{own: true, anyone: true} }

// allows tells whether the principal may; own is true for a request from the
// box itself. setup is asked elsewhere.
func (a access) allows(p auth.Principal, own bool) bool {
	switch {
	case a.public, a.own && own, a.anyone && !p.Nobody():
		return true
	case a.role != "":
		return rank(p.Role) >= rank(a.role)
	}
	for _, scope := range a.scopes {
		if p.May(scope) {
			return true
		}
	}
	return false
}

func rank(r auth.Role) int {
	switch r {
	case auth.RoleAdmin:
		return 3
	case auth.RoleOperator:
		return 2
	case auth.RoleReader:
		return 1
	}
	return 0
}

// String says in an error's detail what is missing.
func (a access) String() string {
	if a.role != "" {
		return "the role " + string(a.role)
	}
	names := make([]string, len(a.scopes))
	for i, scope := range a.scopes {
		names[i] = string(scope)
	}
	return "the scope " + strings.Join(names, " or ")
}

// register hands the table to Echo and huma, and makes /openapi.json.
func (s *Server) register() error {
	s.api = s.newAPI()
	s.routes = map[routeKey]*route{}
	for _, r := range s.table() {
		key := routeKey{r.method, strings.NewReplacer("{", ":", "}", "").Replace(r.path)}
		if s.routes[key] != nil || (r.api == nil) == (r.handle == nil) {
			return fmt.Errorf("webui: route %s %s is in the table twice, or has no handler", r.method, r.path)
		}
		s.routes[key] = &r
		if r.handle != nil {
			s.echo.Add(r.method, key.path, r.handle)
			continue
		}
		r.api.attach(s, r)
	}
	for _, r := range s.echo.Routes() {
		if s.routes[routeKey{r.Method, r.Path}] == nil {
			return fmt.Errorf("webui: route %s %s is not in the table", r.Method, r.Path)
		}
	}
	return s.describe()
}
