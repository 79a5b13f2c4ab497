package webhook

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"

	"recado/queue"
)

const (
	// secretPrefix begins a secret as people see it; base64 follows (Standard
	// Webhooks, "Signature scheme").
	secretPrefix = "whsec_"
	secretSize   = 32 // octets; 24 to 64 are allowed
)

// sealer keeps secrets as SIMs' PINs are kept: under a key that is not in the
// database.
type sealer struct{ aead cipher.AEAD }

// newSealer derives the key; without one it takes one of this run only.
func newSealer(key []byte) (*sealer, error) {
	if len(key) == 0 {
		key = make([]byte, queue.KeySize)
		rand.Read(key)
	}
	if len(key) != queue.KeySize {
		return nil, fmt.Errorf("the key for secrets has %d octets instead of %d", len(key), queue.KeySize)
	}
	seal, err := hkdf.Key(sha256.New, key, nil, "recado webhook secret seal", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(seal)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return &sealer{aead}, err
}

// fresh makes a secret for an endpoint.
func (s *sealer) fresh(id string) (shown string, sealed []byte) {
	raw := make([]byte, secretSize)
	rand.Read(raw)
	return secretPrefix + base64.StdEncoding.EncodeToString(raw), s.aead.Seal(nil, nil, raw, []byte(id))
}

func (s *sealer) open(id string, sealed []byte) ([]byte, error) {
	raw, err := s.aead.Open(nil, nil, sealed, []byte(id))
	if err != nil {
		return nil, ErrSealed
	}
	return raw, nil
}

// sign gives the webhook-signature of a body under each secret, the newest first:
// v1, HMAC-SHA256 over id.timestamp.body.
func sign(secrets [][]byte, id string, timestamp int64, body []byte) string {
	var list []string
	for _, secret := range secrets {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(id + "." + strconv.FormatInt(timestamp, 10) + "."))
		h.Write(body)
		list = append(list, "v1,"+base64.StdEncoding.EncodeToString(h.Sum(nil)))
	}
	return strings.Join(list, " ")
}
