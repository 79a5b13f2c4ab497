package auth

import (
	"slices"
	"strings"
)

// Scope is a right that a key carries and a role brings with it.
type Scope string

// The scopes of the API. Admin contains all the others.
const (
	MessagesSend   Scope = "messages:send"
	MessagesRead   Scope = "messages:read"
	InboxRead      Scope = "inbox:read"
	InboxWrite     Scope = "inbox:write"
	ContactsRead   Scope = "contacts:read"
	ContactsWrite  Scope = "contacts:write"
	CampaignsRead  Scope = "campaigns:read"
	CampaignsWrite Scope = "campaigns:write"
	CampaignsSend  Scope = "campaigns:send"
	Webhooks       Scope = "webhooks"
	SIMsRead       Scope = "sims:read"
	SIMsControl    Scope = "sims:control"
	Admin          Scope = "admin"
)

// Scopes in the order in which pages show them.
func Scopes() []Scope {
	return []Scope{MessagesSend, MessagesRead, InboxRead, InboxWrite, ContactsRead, ContactsWrite,
		CampaignsRead, CampaignsWrite, CampaignsSend, Webhooks, SIMsRead, SIMsControl, Admin}
}

// Role is what a person is in the office.
type Role string

const (
	// RoleAdmin may do everything.
	RoleAdmin Role = "admin"
	// RoleOperator writes, answers, sends campaigns and looks after the SIMs.
	RoleOperator Role = "operator"
	// RoleReader looks and changes nothing.
	RoleReader Role = "reader"
)

// Roles from the mightiest down.
func Roles() []Role { return []Role{RoleAdmin, RoleOperator, RoleReader} }

// Scopes that the role brings with it.
func (r Role) Scopes() []Scope {
	switch r {
	case RoleAdmin:
		return []Scope{Admin}
	case RoleOperator:
		return []Scope{MessagesSend, MessagesRead, InboxRead, InboxWrite, ContactsRead, ContactsWrite,
			CampaignsRead, CampaignsWrite, CampaignsSend, SIMsRead, SIMsControl}
	case RoleReader:
		return []Scope{MessagesRead, InboxRead, ContactsRead, CampaignsRead, SIMsRead}
	}
	return nil
}

// Kind of a Principal.
const (
	KindKey     = "key"     // an application with an API key
	KindPerson  = "person"  // somebody signed in
	KindConsole = "console" // the local control socket: root or recado on the box itself
)

// Principal is who asks. The zero value is nobody and may nothing.
type Principal struct {
	Kind string // KindKey, KindPerson, KindConsole; "" nobody
	ID   string // of the key or the person; "console"
	Name string
	// Scopes that it has. A person's come from the role.
	Scopes []Scope
	Role   Role   // of a person; RoleAdmin for the console; "" for a key
	Class  string // the only class of messages that a key may send; "" any
	// Language of a person, "" when never chosen.
	Language string
}

// Console is the principal of the local control socket.
func Console() Principal {
	return Principal{Kind: KindConsole, ID: KindConsole, Name: KindConsole, Role: RoleAdmin, Scopes: RoleAdmin.Scopes()}
}

// Nobody tells that no one is signed in.
func (p Principal) Nobody() bool { return p.Kind == "" }

// May tells whether the principal has the scope, or admin.
func (p Principal) May(scope Scope) bool {
	return slices.Contains(p.Scopes, scope) || slices.Contains(p.Scopes, Admin)
}

// String names the principal in the audit trail: "person:ana", "key:crm".
func (p Principal) String() string {
	if p.Kind == KindConsole {
		return KindConsole
	}
	return p.Kind + ":" + p.Name
}

// ParseScopes reads scopes as the command line and the database hold them,
// separated by commas. An unknown one is an *Invalid.
func ParseScopes(list string) ([]Scope, error) {
	scopes := []Scope{}
	for name := range strings.SplitSeq(list, ",") {
		if name = strings.TrimSpace(name); name != "" {
			scopes = append(scopes, Scope(name))
		}
	}
	return scopes, checkScopes(scopes)
}

func checkScopes(scopes []Scope) error {
	if len(scopes) == 0 {
		return &Invalid{Field: "scopes", Code: "required", Detail: "name at least one scope: " + joinScopes(Scopes())}
	}
	for _, scope := range scopes {
		if !slices.Contains(Scopes(), scope) {
			return &Invalid{Field: "scopes", Code: "unknown", Value: string(scope),
				Detail: "there is no such scope; take from " + joinScopes(Scopes())}
		}
	}
	return nil
}

func joinScopes(scopes []Scope) string {
	names := make([]string, len(scopes))
	for i, s := range scopes {
		names[i] = string(s)
	}
	return strings.Join(names, ",")
}
