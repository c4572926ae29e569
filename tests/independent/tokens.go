package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"reflect"

	"github.com/go-jose/go-jose/v4"
)

const (
	grantTyp      = "countersign-grant+jwt"
	checkpointTyp = "countersign-checkpoint+jwt"
)

// keySet is a JWKS, and what each of its keys says beside the key.
type keySet struct {
	keys  map[string]jose.JSONWebKey
	words map[string]map[string]any
}

func readKeys(path string) (*keySet, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	set := &keySet{map[string]jose.JSONWebKey{}, map[string]map[string]any{}}
	for _, raw := range document.Keys {
		var key jose.JSONWebKey
		words := map[string]any{}
		if err := json.Unmarshal(raw, &key); err != nil {
			return nil, err
		}
		if err := json.Unmarshal(raw, &words); err != nil {
			return nil, err
		}
		if !key.IsPublic() {
			return nil, fmt.Errorf("a key is not a public one")
		}
		set.keys[key.KeyID], set.words[key.KeyID] = key, words
	}
	return set, nil
}

// bare: speaks for nobody, so it may sign grants and checkpoints.
func (set *keySet) bare(kid string) bool {
	for _, word := range []string{"agent_id", "reviewer_id", "executor_id", "policy_admin", "admin_id", "tenant_id", "tenant_ids"} {
		if _, said := set.words[kid][word]; said {
			return false
		}
	}
	return true
}

type token struct {
	kid       string
	algorithm string
	claims    map[string]any
}

// opened verifies a compact JWS: header of alg, kid and typ and nothing else, key by kid.
func (set *keySet) opened(text, typ string) (*token, error) {
	signed, err := jose.ParseSignedCompact(text, []jose.SignatureAlgorithm{jose.EdDSA, jose.ES256})
	if err != nil {
		return nil, fmt.Errorf("no JWS that is allowed: %w", err)
	}
	head := signed.Signatures[0].Protected
	var raw map[string]any
	part, _, _ := bytes.Cut([]byte(text), []byte("."))
	if err := json.Unmarshal(unbase64url(part), &raw); err != nil || len(raw) != 3 {
		return nil, fmt.Errorf("its header has more or less than alg, kid and typ")
	}
	if head.ExtraHeaders[jose.HeaderType] != typ {
		return nil, fmt.Errorf("its typ is not %s", typ)
	}
	key, known := set.keys[head.KeyID]
	if !known {
		return nil, fmt.Errorf("its key is not known")
	}
	if _, ed := key.Key.(ed25519.PublicKey); ed != (head.Algorithm == string(jose.EdDSA)) {
		return nil, fmt.Errorf("its key signs by another algorithm")
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return nil, fmt.Errorf("its signature is not its key's: %w", err)
	}
	claims, err := object(payload)
	if err != nil {
		return nil, err
	}
	return &token{head.KeyID, head.Algorithm, claims}, nil
}

// byGrantKey: a token that only a worker can have made.
func (set *keySet) byGrantKey(text, typ string) (map[string]any, error) {
	opened, err := set.opened(text, typ)
	if err != nil {
		return nil, err
	}
	if opened.algorithm != string(jose.EdDSA) || !set.bare(opened.kid) {
		return nil, fmt.Errorf("its key is no grant key")
	}
	return opened.claims, nil
}

// object reads JSON with its numbers as they are written.
func object(text []byte) (map[string]any, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	form := map[string]any{}
	if err := decoder.Decode(&form); err != nil {
		return nil, err
	}
	if decoder.More() {
		return nil, fmt.Errorf("something stands behind the JSON")
	}
	return form, nil
}

// differs names a claim that is not as wanted, or "".
func differs(claims, wanted map[string]any) string {
	text, err := json.Marshal(wanted)
	if err != nil {
		return err.Error()
	}
	same, err := object(text)
	if err != nil {
		return err.Error()
	}
	for name := range same {
		if _, there := claims[name]; !there || !reflect.DeepEqual(claims[name], same[name]) {
			return name
		}
	}
	for name := range claims {
		if _, there := same[name]; !there {
			return name
		}
	}
	return ""
}
