package queue

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"recado/queue/sqlite"
)

// answerKey names a kept answer (see Idempotency).
type answerKey struct{ scope, key string }

// hashedKey begins what stands for an Idempotency-Key that named somebody who
// was erased. No key of the interfaces has a NUL in it.
const hashedKey = "\x00sha256:"

// hashed is what stands for the key once it must not be read any more: the same
// key is known again by it. The scope is part of it, so that a table of hashes
// serves for one scope only.
func (k answerKey) hashed() string {
	if strings.HasPrefix(k.key, hashedKey) {
		return k.key
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d:%s%s", len(k.scope), k.scope, k.key)
	return hashedKey + hex.EncodeToString(h.Sum(nil))
}

// answerOf finds the kept answer that tells of a message; zero: none does.
func answerOf(tx *sqlite.Tx, seq int64) (k answerKey, err error) {
	var last int64
	err = tx.QueryRow(`SELECT scope, key, last_seq FROM idempotency INDEXED BY idempotency_seq WHERE first_seq > 0 AND first_seq <= ? ORDER BY first_seq DESC LIMIT 1`, seq).
		Scan(&k.scope, &k.key, &last)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return answerKey{}, nil
	case err != nil:
		return answerKey{}, fmt.Errorf("look for the kept answer: %w", err)
	case last < seq:
		return answerKey{}, nil
	}
	return k, nil
}

// edit changes a kept answer. What the interfaces keep is JSON; an answer that
// is none cannot be searched, and is emptied.
func (k answerKey) edit(tx *sqlite.Tx, f func(any) any) error {
	var answer []byte
	err := tx.QueryRow(`SELECT answer FROM idempotency WHERE scope = ? AND key = ?`, k.scope, k.key).Scan(&answer)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read a kept answer: %w", err)
	}
	if _, err := tx.Exec(`UPDATE idempotency SET answer = ? WHERE scope = ? AND key = ?`, editJSON(answer, f), k.scope, k.key); err != nil {
		return fmt.Errorf("change a kept answer: %w", err)
	}
	return nil
}

// editJSON applies f to a JSON value, numbers kept as they are written; what is
// no JSON becomes {}.
func editJSON(raw []byte, f func(any) any) []byte {
	var v any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		return []byte("{}")
	}
	out, err := json.Marshal(f(v))
	if err != nil { // what was JSON marshals
		return []byte("{}")
	}
	return out
}

// withoutTexts empties the text of every object that is one of the messages.
func withoutTexts(v any, ids []string, now time.Time) any {
	switch v := v.(type) {
	case map[string]any:
		id, _ := v["id"].(string)
		if _, has := v["text"]; has && slices.Contains(ids, id) {
			v["text"], v["text_deleted_at"] = "", now.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)
		}
		for name, inner := range v {
			v[name] = withoutTexts(inner, ids, now)
		}
	case []any:
		for i := range v {
			v[i] = withoutTexts(v[i], ids, now)
		}
	}
	return v
}

// EditEvent changes what an event tells: f gets its data as JSON decodes it.
func EditEvent(tx *sqlite.Tx, seq int64, f func(any) any) error {
	var data string
	err := tx.QueryRow(`SELECT data FROM event WHERE seq = ?`, seq).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read an event: %w", err)
	}
	if edited := string(editJSON([]byte(data), f)); edited != data {
		if _, err := tx.Exec(`UPDATE event SET data = ? WHERE seq = ?`, edited, seq); err != nil {
			return fmt.Errorf("change an event: %w", err)
		}
	}
	return nil
}
