package webui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"recado/modem"
	"recado/pool"
	"recado/queue"
)

// SIM is a subscription: what is known of it now, and what was kept.
type SIM struct {
	ICCID            string      `json:"iccid"`
	IMSI             *string     `json:"imsi"`
	Name             *string     `json:"name"`
	Number           *string     `json:"number" doc:"The one a person entered, else the SIM's own"`
	Operator         *string     `json:"operator"`
	State            string      `json:"state" enum:"ready,busy,unavailable,disabled,limit_reached,no_credit,blocked,quarantined"`
	Reason           *string     `json:"reason" doc:"Why it is not ready, and what to do"`
	Modem            *string     `json:"modem" doc:"Id of the modem it is in"`
	Signal           Signal      `json:"signal"`
	Registration     *string     `json:"registration" doc:"home, roaming, searching, denied, not_registered, unknown, sms_only"`
	AccessTechnology *string     `json:"access_technology"`
	SMSC             *string     `json:"smsc" doc:"The service centre's number"`
	Limits           []SIMLimit  `json:"limits" nullable:"false"`
	LimitsChosen     bool        `json:"limits_chosen" doc:"Somebody chose the limits; else the defaults hold: 10 a minute, 100 an hour, 500 a day and 500 different recipients a month, and none for emulated SIMs"`
	ReservePercent   int         `json:"reserve_percent" doc:"Part of each limit that bulk never has"`
	ResetDay         int         `json:"reset_day" doc:"Of the month, on which the billing month begins; in a shorter one its last day"`
	Room             SIMRoom     `json:"room" doc:"What it may still send now"`
	WarmUp           bool        `json:"warm_up" doc:"It is new: its limit of segments a day began with a tenth and doubles with each day of traffic. See warm_limit"`
	WarmLimit        *int        `json:"warm_limit" doc:"What holds today of its limit of segments a day; null: it has warmed up"`
	Pace             int         `json:"pace" doc:"Messages a minute of normal and bulk that somebody chose; 0: as the limits say, -1: as fast as it can"`
	PerMinute        *int        `json:"per_minute" doc:"What holds of it; null: as fast as it can"`
	SendWindow       *SendWindow `json:"send_window" doc:"When it may send at all, by the box's clock; null: always"`
	Paused           bool        `json:"paused" doc:"By a person: POST /sending/pause with this sim"`
	Routes           []int64     `json:"routes" nullable:"false" doc:"Ids of the routes that name it"`
	Credit           SIMCredit   `json:"credit"`
	SentTotal        int         `json:"sent_total" doc:"Segments that the network accepted"`
	FailedRecent     int         `json:"failed_recent" doc:"Refused and lost attempts in the last hour"`
	LastSentAt       *time.Time  `json:"last_sent_at"`
	Enabled          bool        `json:"enabled"`
	Emulated         bool        `json:"emulated"`
}

// TransformSchema says what a pointer to an object does not: that it may be null.
func (SIM) TransformSchema(r huma.Registry, s *huma.Schema) *huma.Schema {
	nullable(r, s, "send_window", reflect.TypeFor[SendWindow]())
	return s
}

// Signal is what AT+CSQ says.
type Signal struct {
	RSSI *int `json:"rssi_dbm" doc:"Null when not known"`
	BER  *int `json:"ber" doc:"0 to 7; null when not known"`
}

func (s *Server) simOf(m pool.SIM) SIM {
	out := SIM{ICCID: m.ICCID, IMSI: some(m.IMSI), Name: some(m.Name), Number: some(m.Number), Operator: some(m.Operator),
		State: m.State, Reason: some(m.Reason), Modem: some(m.Modem), Registration: some(m.Registration),
		AccessTechnology: some(m.AccessTechnology), SMSC: some(m.SMSC), Limits: limitsOf(m.Limits), SentTotal: m.SentTotal,
		FailedRecent: m.FailedRecent, LastSentAt: when(m.LastSentAt), Enabled: m.Enabled, Emulated: m.Emulated,
		LimitsChosen: m.Limits.Chosen, ReservePercent: m.Limits.ReservePercent, ResetDay: m.Limits.ResetDay, WarmUp: m.Limits.Warm > 0, WarmLimit: counted(m.Limits.Warm),
		Room: roomOf(m.Limits.Room, queue.SteadyNow(s.clock), s.clock.Now()), Pace: m.Pace, PerMinute: counted(m.PerMinute),
		SendWindow: windowOf(m.Window), Paused: m.Paused, Routes: append([]int64{}, m.Routes...), Credit: creditOf(m.Credit)}
	if m.Signal.Known {
		out.Signal = Signal{RSSI: new(m.Signal.RSSI), BER: known(m.Signal.BER)}
	}
	return out
}

// SIMList is the SIMs that were ever seen.
type SIMList list[SIM]

// SIMID is a SIM's place in a path.
type SIMID struct {
	ICCID string `path:"iccid" maxLength:"64" doc:"ICCID or name"`
}

type simOut struct{ Body SIM }

func (s *Server) listSIMs() *operation {
	type (
		in  struct{ Paging }
		out struct{ Body SIMList }
	)
	return op(operation{id: "list-sims", tag: "SIMs and modems", summary: "The SIMs"},
		func(ctx context.Context, in *in) (*out, error) {
			all, err := s.pool.SIMs(ctx)
			if err != nil {
				return nil, err
			}
			part, next, err := cut(all, in.Paging)
			for i := range part {
				if err == nil {
					err = s.counts(ctx, &part[i])
				}
			}
			return &out{SIMList(listed(part, next, s.simOf))}, err
		})
}

func (s *Server) getSIM() *operation {
	return op(operation{id: "get-sim", tag: "SIMs and modems", summary: "One SIM"},
		func(ctx context.Context, in *SIMID) (*simOut, error) {
			m, err := s.oneSIM(ctx, in.ICCID)
			return &simOut{s.simOf(m)}, err
		})
}

// oneSIM is a SIM with all that is counted of it.
func (s *Server) oneSIM(ctx context.Context, iccidOrName string) (pool.SIM, error) {
	m, err := s.pool.SIM(ctx, iccidOrName)
	if err == nil {
		err = s.counts(ctx, &m)
	}
	return m, err
}

// counts completes a SIM by what was used of a minute or an hour without a limit,
// which the pool does not hold ready.
func (s *Server) counts(ctx context.Context, m *pool.SIM) error {
	limits, err := s.pool.Limits(ctx, m.ICCID)
	if errors.Is(err, queue.ErrNoSIM) { // not on disk yet
		return nil
	}
	m.Limits = limits
	return err
}

// SIMPatch is what a person may change of a SIM; what is absent stays.
type SIMPatch struct {
	Name    *string `json:"name,omitempty" nullable:"false" maxLength:"64" doc:"\"\" takes it away"`
	Number  *string `json:"number,omitempty" nullable:"false" maxLength:"32" doc:"Its own number; \"\" goes back to the one on the SIM"`
	Enabled *bool   `json:"enabled,omitempty" nullable:"false" doc:"false: it finishes what it sends now and takes nothing more"`

	Limits         Settable[LimitRequests] `json:"limits,omitzero" doc:"All of them: a window that is not named has none. null goes back to the defaults"`
	ReservePercent *int                    `json:"reserve_percent,omitempty" nullable:"false" minimum:"0" maximum:"95" doc:"Part of each limit that bulk never has"`
	Reserve        *int                    `json:"reserve,omitempty" nullable:"false" minimum:"0" maximum:"95" doc:"The same as reserve_percent: give one of them"`
	ResetDay       *int                    `json:"reset_day,omitempty" nullable:"false" minimum:"1" maximum:"31" doc:"Of the month, on which the billing month begins"`
	WarmUp         *bool                   `json:"warm_up,omitempty" nullable:"false" doc:"true: begin anew with a tenth of the day's limit; false: the whole limit from now on"`
	Pace           *int                    `json:"pace,omitempty" nullable:"false" minimum:"-1" maximum:"600" doc:"Messages a minute of normal and bulk; 0: as the limits say, -1: as fast as it can"`
	SendWindow     Settable[SendWindow]    `json:"send_window,omitzero" doc:"When it may send, by the box's clock; null: always"`
	Paused         *bool                   `json:"paused,omitempty" nullable:"false" doc:"The SIM's kill switch, as POST /sending/pause has it"`
	Routes         *[]int64                `json:"routes,omitempty" nullable:"false" maxItems:"200" doc:"Ids of all routes that shall name it; where it is new it gets the weight 1"`
	CreditLow      *int64                  `json:"credit_low,omitempty" nullable:"false" minimum:"-1" maximum:"100000000" doc:"Tell when the balance is below this, in cents; 0: the default (200), -1: never"`
	CreditIgnored  *bool                   `json:"credit_ignored,omitempty" nullable:"false" enum:"true" doc:"true: it may send whatever is known of its credit, as with a bundle; until a balance above zero is read"`
}

func (s *Server) patchSIM() *operation {
	type in struct {
		SIMID
		Body SIMPatch
	}
	return op(operation{id: "patch-sim", tag: "SIMs and modems", summary: "Change a SIM: name, limits, pace, hours, credit",
		description: "What is absent stays; of a request that is refused nothing is changed. Limits hold from the answer on, and what was sent before counts in them."},
		func(ctx context.Context, in *in) (*simOut, error) {
			m, err := s.updateSIM(ctx, in.ICCID, in.Body)
			return &simOut{s.simOf(m)}, err
		})
}

// updateSIM checks a patch, and when all of it may be, applies it and leaves an
// audit row.
func (s *Server) updateSIM(ctx context.Context, iccidOrName string, b SIMPatch) (pool.SIM, error) {
	sim, err := s.pool.SIM(ctx, iccidOrName)
	if err != nil {
		return sim, err
	}
	patch := queue.SIMPatch{Enabled: b.Enabled}
	changed := []string{}
	if b.Name != nil {
		name := strings.TrimSpace(*b.Name)
		if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }) {
			return sim, invalid("body.name", "take letters, digits and ordinary signs", nil)
		}
		if err := s.nameFree(ctx, sim, name); err != nil {
			return sim, err
		}
		patch.Name, changed = &name, append(changed, "name")
	}
	if b.Number != nil {
		number := *b.Number
		if number != "" {
			complete, rejected := s.store.Numbers().Normalize(number)
			if rejected != nil {
				return sim, invalid("body.number", rejected.Detail, number)
			}
			number = complete
		}
		patch.Number, changed = &number, append(changed, "number")
	}
	if b.Enabled != nil {
		changed = append(changed, map[bool]string{true: "enabled", false: "disabled"}[*b.Enabled])
	}
	if b.Pace != nil {
		patch.Pace, changed = b.Pace, append(changed, fmt.Sprintf("pace=%d", *b.Pace))
	}
	if b.SendWindow.Set {
		w, err := b.SendWindow.Value.window()
		if err != nil {
			return sim, err
		}
		what := "send_window=none"
		if !w.None() {
			what = "send_window=" + clockTime(w.From) + "-" + clockTime(w.To)
		}
		patch.Window, changed = &w, append(changed, what)
	}
	if b.Reserve != nil {
		if b.ReservePercent != nil && *b.ReservePercent != *b.Reserve {
			return sim, invalid("body.reserve", "is the same as reserve_percent: give one of them", *b.Reserve)
		}
		b.ReservePercent = b.Reserve
	}
	limits, more := b.limitsPatch()
	if err := s.mayLimit(ctx, sim, b, limits); err != nil {
		return sim, err
	}
	var routes []queue.Route
	if b.Routes != nil {
		s.changing.Lock()
		defer s.changing.Unlock()
		if routes, err = s.routesOf(ctx, sim.ICCID, *b.Routes); err != nil {
			return sim, err
		}
	}
	// From here on only what nobody can foresee goes wrong: a disk, or another's
	// change at the same moment. What was done by then is in the audit trail.
	done := []string{}
	defer func() {
		if len(done) > 0 {
			s.audited(ctx, "sim.update", sim.ICCID, strings.Join(done, ","))
		}
	}()
	if b.Paused != nil && *b.Paused {
		if err := s.pauseSIM(ctx, sim.ICCID, true); err != nil {
			return sim, err
		}
	}
	if len(changed) > 0 {
		if _, err = s.pool.UpdateSIM(ctx, sim.ICCID, patch); err != nil {
			return sim, err
		}
		done = append(done, changed...)
	}
	if len(more) > 0 {
		if err := s.pool.SetLimits(ctx, sim.ICCID, limits); err != nil {
			return sim, err
		}
		done = append(done, more...)
	}
	for i, r := range routes {
		if _, err := s.store.UpdateRoute(ctx, r); err != nil {
			return sim, err
		}
		if i == 0 {
			done = append(done, "routes")
		}
	}
	who := callerOf(ctx).principal.String()
	if b.CreditLow != nil { // leaves its own audit row, as does the next
		if _, err := s.pool.SetCreditLow(ctx, sim.ICCID, *b.CreditLow, who); err != nil {
			return sim, err
		}
	}
	if b.CreditIgnored != nil && *b.CreditIgnored {
		if _, err := s.pool.IgnoreCredit(ctx, sim.ICCID, who); err != nil {
			return sim, err
		}
	}
	if b.Paused != nil && !*b.Paused { // now that the rest holds
		if err := s.pauseSIM(ctx, sim.ICCID, false); err != nil {
			return sim, err
		}
	}
	return s.oneSIM(ctx, sim.ICCID)
}

// nameFree refuses the name of another SIM.
func (s *Server) nameFree(ctx context.Context, sim pool.SIM, name string) error {
	if name == "" {
		return nil
	}
	other, err := s.pool.SIM(ctx, name)
	switch {
	case errors.Is(err, pool.ErrNoSIM):
		return nil
	case err == nil && other.ICCID != sim.ICCID && other.Name == name:
		return queue.ErrSIMName
	}
	return err
}

// mayLimit refuses limits before anything is changed.
func (s *Server) mayLimit(ctx context.Context, sim pool.SIM, b SIMPatch, p queue.LimitsPatch) error {
	if err := p.Check(); err != nil {
		return err
	}
	if p.WarmUp == nil || !*p.WarmUp || b.Limits.Set && b.Limits.Value == nil {
		return nil
	}
	full := 0
	if p.Limits != nil {
		for _, l := range *p.Limits {
			if l.Window == queue.WindowDay {
				full = l.MaxSegments
			}
		}
	} else {
		now, err := s.pool.Limits(ctx, sim.ICCID)
		if err != nil {
			return err
		}
		for _, u := range setLimits(now) {
			if u.Window == queue.WindowDay {
				full = u.MaxSegments
			}
		}
	}
	if full == 0 {
		return invalid("body.warm_up", "needs a limit of segments a day, of which it begins with a tenth", true)
	}
	return nil
}

// Modem is a device.
type Modem struct {
	ID           string     `json:"id" doc:"Its IMEI, else its USB path, else its port"`
	IMEI         *string    `json:"imei"`
	Manufacturer *string    `json:"manufacturer"`
	Model        *string    `json:"model"`
	Firmware     *string    `json:"firmware"`
	Family       *string    `json:"family"`
	Port         string     `json:"port"`
	USBPath      *string    `json:"usb_path"`
	State        string     `json:"state" doc:"absent, settling, opening, locked, sync, identifying, sim, no_sim, sim_blocked, configuring, registering, sim_denied, ready, sending, sending_unknown, recovering, fault, disabled"`
	Reason       *string    `json:"reason" doc:"What an operator should know or do"`
	Since        *time.Time `json:"since" doc:"In this state"`
	SIM          *string    `json:"sim" doc:"ICCID"`
	LastError    *string    `json:"last_error"`
	Restarts     int        `json:"restarts"`
	// Beyond the contract's fields.
	Signal           Signal       `json:"signal"`
	Registration     *string      `json:"registration" doc:"As a SIM's"`
	AccessTechnology *string      `json:"access_technology"`
	Operator         *string      `json:"operator"`
	Storage          ModemStorage `json:"storage"`
	ReportsBy        int          `json:"reports_by" doc:"How delivery reports come, the ds of AT+CNMI: 1 directly, 2 by way of the storage, 0 not at all"`
	Alarm            *string      `json:"alarm" doc:"What only an operator can mend while the modem is well: lte_without_sms"`
	PINState         *string      `json:"pin_state" doc:"What AT+CPIN? says: READY, SIM PIN, SIM PUK …"`
	PINTries         *int         `json:"pin_tries" doc:"Tries left for the PIN; null when the modem does not say"`
	Power            bool         `json:"power" doc:"Its power can be cut: POST /modems/{id}/power"`
}

// ModemStorage is the memory for messages that is in use.
type ModemStorage struct {
	Name    *string `json:"name" doc:"SM on the SIM, ME in the modem, MT both"`
	Used    int     `json:"used"`
	Total   int     `json:"total" doc:"0: not known"`
	Foreign int     `json:"foreign" doc:"Drafts and sent messages of other devices in it"`
	Says    *string `json:"says" doc:"What is wrong with it, and what to do"`
}

func (s *Server) modemOf(m modem.Snapshot) Modem {
	out := Modem{ID: m.ID, IMEI: some(m.IMEI), Manufacturer: some(m.Manufacturer), Model: some(m.Model), Firmware: some(m.Firmware),
		Family: some(m.Family), Port: m.Port, USBPath: some(m.USBPath), State: string(m.State), Reason: some(m.Reason),
		Since: when(m.Since), SIM: some(m.SIM.ICCID), LastError: some(m.LastError), Restarts: m.Restarts,
		Registration: some(m.Registration), AccessTechnology: some(m.AccessTechnology), Operator: some(m.Operator),
		Storage:   ModemStorage{some(m.StorageName), m.StorageUsed, m.StorageTotal, m.StorageForeign, some(m.StorageSays)},
		ReportsBy: m.ReportsBy, Alarm: some(m.Alarm), PINState: some(m.SIM.State), PINTries: known(m.SIM.PINTries), Power: s.pool.HasPower(m.ID)}
	if m.Signal.Known {
		out.Signal = Signal{RSSI: new(m.Signal.RSSI), BER: known(m.Signal.BER)}
	}
	return out
}

// ModemList is the modems.
type ModemList list[Modem]

// ModemID is a modem's place in a path.
type ModemID struct {
	ID string `path:"id" maxLength:"256" doc:"The modem's id"`
}

func (s *Server) listModems() *operation {
	type (
		in  struct{ Paging }
		out struct{ Body ModemList }
	)
	return op(operation{id: "list-modems", tag: "SIMs and modems", summary: "The modems"},
		func(_ context.Context, in *in) (*out, error) {
			part, next, err := cut(s.pool.Modems(), in.Paging)
			return &out{ModemList(listed(part, next, s.modemOf))}, err
		})
}

func (s *Server) getModem() *operation {
	type out struct{ Body Modem }
	return op(operation{id: "get-modem", tag: "SIMs and modems", summary: "One modem"},
		func(_ context.Context, in *ModemID) (*out, error) {
			m, ok := s.pool.Modem(in.ID)
			if !ok {
				return nil, pool.ErrNoModem
			}
			return &out{s.modemOf(m)}, nil
		})
}

func (s *Server) restartModem() *operation {
	type out struct{ Body Modem }
	return op(operation{id: "restart-modem", tag: "SIMs and modems", summary: "Restart a modem", status: http.StatusAccepted,
		description: "After the submission that it may have open; what waits for it stays queued."},
		func(ctx context.Context, in *ModemID) (*out, error) {
			if err := s.pool.Restart(ctx, in.ID); err != nil {
				if errors.Is(err, pool.ErrNoModem) || ctx.Err() != nil {
					return nil, err
				}
				s.log.Warn("a modem was not restarted", "modem", in.ID, "err", err)
				return nil, newProblem(http.StatusConflict, "the modem cannot be restarted now; see its state and last_error")
			}
			m, _ := s.pool.Modem(in.ID)
			s.audited(ctx, "modem.restart", in.ID, "")
			return &out{s.modemOf(m)}, nil
		})
}
