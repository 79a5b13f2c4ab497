package webui

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"recado/queue"
	"recado/queue/sqlite"
)

// Retention says how long what is kept, in seconds from its end.
type Retention struct {
	OTP     Keep `json:"otp"`
	Alert   Keep `json:"alert"`
	Normal  Keep `json:"normal"`
	Bulk    Keep `json:"bulk"`
	Inbound Keep `json:"inbound" doc:"Received messages, from their arrival"`
}

// Keep is how long the text of a message is kept, and how long the rest.
type Keep struct {
	Body     int64 `json:"body_seconds" doc:"Its text; of otp at most 900"`
	Metadata int64 `json:"metadata_seconds" doc:"Number, times and what became of it"`
}

func retentionOf(r queue.Retention) Retention {
	of := func(k queue.Keep) Keep { return Keep{int64(k.Body / time.Second), int64(k.Metadata / time.Second)} }
	return Retention{of(r.OTP), of(r.Alert), of(r.Normal), of(r.Bulk), of(r.Inbound)}
}

type retentionOut struct{ Body Retention }

func (s *Server) getRetention() *operation {
	return op(operation{id: "get-retention", tag: "Status", summary: "How long what is kept"},
		func(ctx context.Context, _ *struct{}) (*retentionOut, error) {
			r, err := s.store.Retention(ctx)
			return &retentionOut{retentionOf(r)}, err
		})
}

// KeepPatch changes a Keep; what is absent stays.
type KeepPatch struct {
	Body     *int64 `json:"body_seconds,omitempty" minimum:"0" maximum:"316224000" doc:"Of otp at most 900, of the others at most ten years"`
	Metadata *int64 `json:"metadata_seconds,omitempty" minimum:"604800" maximum:"316224000" doc:"From 7 days to ten years, and no shorter than the text"`
}

// keptRange says what a period may be where the schema refused one; "" elsewhere.
func keptRange(location string) string {
	switch {
	case location == "body.otp.body_seconds":
		return "is from 0 to 900 (15 minutes)"
	case strings.HasSuffix(location, ".body_seconds"):
		return "is from 0 to 316224000 (3660 days)"
	case strings.HasSuffix(location, ".metadata_seconds"):
		return "is from 604800 (7 days) to 316224000 (3660 days)"
	}
	return ""
}

func (p *KeepPatch) apply(k *queue.Keep) {
	if p == nil {
		return
	}
	if p.Body != nil {
		k.Body = time.Duration(*p.Body) * time.Second
	}
	if p.Metadata != nil {
		k.Metadata = time.Duration(*p.Metadata) * time.Second
	}
}

// RetentionPatch changes a Retention; what is absent stays.
type RetentionPatch struct {
	OTP     *KeepPatch `json:"otp,omitempty"`
	Alert   *KeepPatch `json:"alert,omitempty"`
	Normal  *KeepPatch `json:"normal,omitempty"`
	Bulk    *KeepPatch `json:"bulk,omitempty"`
	Inbound *KeepPatch `json:"inbound,omitempty"`
}

func (s *Server) patchRetention() *operation {
	return op(operation{id: "patch-retention", tag: "Status", summary: "Change how long what is kept",
		description: "Counts for what is there too: what is older is deleted within the hour."},
		func(ctx context.Context, in *struct{ Body RetentionPatch }) (*retentionOut, error) {
			s.changing.Lock()
			defer s.changing.Unlock()
			r, err := s.store.Retention(ctx)
			if err != nil {
				return nil, err
			}
			in.Body.OTP.apply(&r.OTP)
			in.Body.Alert.apply(&r.Alert)
			in.Body.Normal.apply(&r.Normal)
			in.Body.Bulk.apply(&r.Bulk)
			in.Body.Inbound.apply(&r.Inbound)
			err = s.store.SetRetention(ctx, r, callerOf(ctx).principal.String())
			if bad, ok := errors.AsType[*queue.Invalid](err); ok { // its value is in days or minutes, the request's in seconds
				return nil, invalid("body."+bad.Field+"_seconds", bad.Detail, nil)
			}
			if err != nil {
				return nil, err
			}
			return &retentionOut{retentionOf(r)}, nil
		})
}

// EraseRequest names whose messages are deleted.
type EraseRequest struct {
	Number string `json:"number" minLength:"1" maxLength:"40" doc:"E.164, national to the configured country, or a sender's name" example:"+34600111222"`
}

func (s *Server) eraseNumber() *operation {
	type out struct{ Body Erased }
	return op(operation{id: "erase-number", tag: "Status", summary: "Delete everything about a number",
		description: "Messages to it and from it, their reports and events, in whatever state. It cannot be undone. The automatic backups are replaced right after; what was backed up by hand, or lies in DATA/quarantine/, still has it."},
		func(ctx context.Context, in *struct{ Body EraseRequest }) (*out, error) {
			e, err := s.erase(ctx, in.Body.Number)
			return &out{e}, err
		})
}

// erase deletes what is kept of a number as a person writes it. A sender that is
// no number is taken as it is.
func (s *Server) erase(ctx context.Context, number string) (Erased, error) {
	if s.care.Erase == nil {
		return Erased{}, newProblem(http.StatusConflict, "nothing can be erased here: ask the running recado serve")
	}
	if n, no := s.store.Numbers().Normalize(number); no == nil {
		number = n
	}
	e, err := s.care.Erase(ctx, number, callerOf(ctx).principal.String())
	if field, ok := errors.AsType[*queue.Invalid](err); ok {
		return e, invalid("body.number", field.Detail, nil)
	}
	e.Scrubbed = err == nil
	if errors.Is(err, sqlite.ErrScrub) { // all is deleted
		s.log.Warn("what was erased could not be overwritten everywhere", "err", err)
		return e, nil
	}
	return e, err
}
