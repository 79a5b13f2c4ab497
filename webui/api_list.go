package webui

import (
	"strconv"
	"time"

	"recado/queue"
)

// Paging is the part of a list that is wanted.
type Paging struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"How many at most"`
	Cursor string `query:"cursor" maxLength:"200" doc:"The next of the answer before; absent for the beginning"`
}

// List is a part of a list. It is instantiated once a kind, so that each has its
// own name in the description.
type list[T any] struct {
	Items []T     `json:"items" nullable:"false"`
	Next  *string `json:"next" doc:"The cursor of what follows; null at the end"`
}

// listed makes the answer's list of what a store gave.
func listed[S, T any](from []S, next string, convert func(S) T) list[T] {
	l := list[T]{Items: make([]T, len(from)), Next: some(next)}
	for i, one := range from {
		l.Items[i] = convert(one)
	}
	return l
}

// cut pages through a list that is in memory: its cursor is a count.
func cut[T any](all []T, p Paging) (part []T, next string, err error) {
	from := 0
	if p.Cursor != "" {
		if from, err = strconv.Atoi(p.Cursor); err != nil || from < 0 {
			return nil, "", &queue.Invalid{Field: "cursor", Detail: "this is no cursor of this list", Value: p.Cursor}
		}
	}
	from = min(from, len(all))
	to := min(from+p.Limit, len(all))
	if to < len(all) {
		next = strconv.Itoa(to)
	}
	return all[from:to], next, nil
}

// some is nil, null in JSON, for a text that there is not.
func some(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// when is nil for a time that there was not; UTC else.
func when(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// known is nil for a number that says "unknown" by being negative.
func known(n int) *int {
	if n < 0 {
		return nil
	}
	return &n
}
