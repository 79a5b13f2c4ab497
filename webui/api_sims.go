package webui

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"recado/modem"
	"recado/pool"
	"recado/queue"
)

// SIM is a subscription: what is known of it now, and what was kept.
type SIM struct {
	ICCID            string     `json:"iccid"`
	IMSI             *string    `json:"imsi"`
	Name             *string    `json:"name"`
	Number           *string    `json:"number" doc:"The one a person entered, else the SIM's own"`
	Operator         *string    `json:"operator"`
	State            string     `json:"state" enum:"ready,busy,unavailable,disabled,limit_reached,no_credit,blocked,quarantined"`
	Reason           *string    `json:"reason" doc:"Why it is not ready, and what to do"`
	Modem            *string    `json:"modem" doc:"Id of the modem it is in"`
	Signal           Signal     `json:"signal"`
	Registration     *string    `json:"registration" doc:"home, roaming, searching, denied, not_registered, unknown, sms_only"`
	AccessTechnology *string    `json:"access_technology"`
	SMSC             *string    `json:"smsc" doc:"The service centre's number"`
	Limits           []SIMLimit `json:"limits" nullable:"false"`
	ReservePercent   int        `json:"reserve_percent" doc:"Part of the limits kept for otp and alert"`
	SentTotal        int        `json:"sent_total" doc:"Segments that the network accepted"`
	FailedRecent     int        `json:"failed_recent" doc:"Refused and lost attempts in the last hour"`
	LastSentAt       *time.Time `json:"last_sent_at"`
	Enabled          bool       `json:"enabled"`
	Emulated         bool       `json:"emulated"`
}

// Signal is what AT+CSQ says.
type Signal struct {
	RSSI *int `json:"rssi_dbm" doc:"Null when not known"`
	BER  *int `json:"ber" doc:"0 to 7; null when not known"`
}

// SIMLimit is how much a SIM may send in a time.
type SIMLimit struct {
	Window         string    `json:"window" enum:"minute,hour,day,month"`
	MaxSegments    *int      `json:"max_segments"`
	MaxRecipients  *int      `json:"max_recipients"`
	UsedSegments   int       `json:"used_segments"`
	UsedRecipients int       `json:"used_recipients"`
	ResetsAt       time.Time `json:"resets_at"`
}

func simOf(m pool.SIM) SIM {
	out := SIM{ICCID: m.ICCID, IMSI: some(m.IMSI), Name: some(m.Name), Number: some(m.Number), Operator: some(m.Operator),
		State: m.State, Reason: some(m.Reason), Modem: some(m.Modem), Registration: some(m.Registration),
		AccessTechnology: some(m.AccessTechnology), SMSC: some(m.SMSC), Limits: []SIMLimit{}, SentTotal: m.SentTotal,
		FailedRecent: m.FailedRecent, LastSentAt: when(m.LastSentAt), Enabled: m.Enabled, Emulated: m.Emulated}
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
			return &out{SIMList(listed(part, next, simOf))}, err
		})
}

func (s *Server) getSIM() *operation {
	return op(operation{id: "get-sim", tag: "SIMs and modems", summary: "One SIM"},
		func(ctx context.Context, in *SIMID) (*simOut, error) {
			m, err := s.pool.SIM(ctx, in.ICCID)
			return &simOut{simOf(m)}, err
		})
}

// SIMPatch is what a person may change of a SIM; what is absent stays.
type SIMPatch struct {
	Name    *string `json:"name,omitempty" nullable:"false" maxLength:"64" doc:"\"\" takes it away"`
	Number  *string `json:"number,omitempty" nullable:"false" maxLength:"32" doc:"Its own number; \"\" goes back to the one on the SIM"`
	Enabled *bool   `json:"enabled,omitempty" nullable:"false" doc:"false: it finishes what it sends now and takes nothing more"`
}

func (s *Server) patchSIM() *operation {
	type in struct {
		SIMID
		Body SIMPatch
	}
	return op(operation{id: "patch-sim", tag: "SIMs and modems", summary: "Name, number, on and off"},
		func(ctx context.Context, in *in) (*simOut, error) {
			m, err := s.updateSIM(ctx, in.ICCID, in.Body)
			return &simOut{simOf(m)}, err
		})
}

// updateSIM checks and applies a patch, and leaves an audit row.
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
	if len(changed) == 0 {
		return sim, nil
	}
	if sim, err = s.pool.UpdateSIM(ctx, sim.ICCID, patch); err != nil {
		return sim, err
	}
	s.audited(ctx, "sim.update", sim.ICCID, strings.Join(changed, ","))
	return sim, nil
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
