package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

const (
	micros   = 1_000_000
	skewS    = 60
	lineMax  = 64 << 20
	issuedBy = "countersign"
)

// checkGrant holds the grant of an opened gate against every field of the gate.
func checkGrant(gate map[string]any, keys *keySet) (map[string]any, error) {
	text, _ := gate["grant_jws"].(string)
	if gate["gate"] != "opened" || text == "" {
		return nil, fmt.Errorf("the gate is not open with a grant")
	}
	claims, err := keys.byGrantKey(text, grantTyp)
	if err != nil {
		return nil, err
	}
	occurred, _ := gate["occurred_at"].(int64)
	until, _ := gate["valid_until"].(int64)
	wanted := map[string]any{
		"iss": issuedBy, "aud": gate["tool_name"], "sub": gate["run_id"], "jti": gate["grant_id"],
		"nbf": occurred / micros, "exp": until / micros,
		"approvers": claims["approvers"],
	}
	for _, name := range []string{
		"tenant_id", "interrupt_id", "decision_package_id", "package_version", "effect_type",
		"action_digest", "decision_event_ids", "policy_version",
	} {
		wanted[name] = gate[name]
	}
	if name := differs(claims, wanted); name != "" {
		return nil, fmt.Errorf("the grant and the gate do not agree (%s)", name)
	}
	digest, err := actionDigest(gate)
	if err != nil {
		return nil, err
	}
	if digest != gate["action_digest"] {
		return nil, fmt.Errorf("the arguments are not those that were approved")
	}
	return claims, nil
}

// actionDigest is SHA-256 over RFC 8785 of arguments, effect type and tool. The arguments are
// canonical already, or the digest is another one.
func actionDigest(gate map[string]any) (string, error) {
	args, ok := gate["args_json"].(string)
	if !ok || !json.Valid([]byte(args)) || !strings.HasPrefix(args, "{") {
		return "", fmt.Errorf("the arguments are no JSON object")
	}
	effect, _ := gate["effect_type"].(string)
	tool, _ := gate["tool_name"].(string)
	text := `{"args":` + args + `,"effect_type":` + jcs(effect) + `,"tool_name":` + jcs(tool) + "}"
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:]), nil
}

// jcs is a string as RFC 8785 writes it.
func jcs(text string) string {
	out := &strings.Builder{}
	out.WriteByte('"')
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}
	for _, one := range text {
		if escaped, found := short[one]; found {
			out.WriteString(escaped)
		} else if one < 0x20 {
			fmt.Fprintf(out, `\u%04x`, one)
		} else {
			out.WriteRune(one)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// approversFit: they are those whose decisions the grant names.
func approversFit(claims map[string]any, reviewers map[string]string) error {
	given, wanted := []string{}, []string{}
	for _, one := range list(claims["approvers"]) {
		given = append(given, fmt.Sprint(one))
	}
	for _, id := range list(claims["decision_event_ids"]) {
		reviewer, known := reviewers[fmt.Sprint(id)]
		if !known {
			return fmt.Errorf("the grant rests on decision %v, which is not there", id)
		}
		wanted = append(wanted, reviewer)
	}
	slices.Sort(given)
	slices.Sort(wanted)
	if !slices.Equal(given, wanted) {
		return fmt.Errorf("the grant names other approvers than its decisions")
	}
	return nil
}

func list(form any) []any {
	found, _ := form.([]any)
	return found
}

func grantsIn(schemaDir, keyFile, gates string) ([]answer, error) {
	known, err := readSchemas(schemaDir)
	if err != nil {
		return nil, err
	}
	keys, err := readKeys(keyFile)
	if err != nil {
		return nil, err
	}
	file, err := os.ReadFile(gates)
	if err != nil {
		return nil, err
	}
	answers := []answer{}
	lines := bufio.NewScanner(bytes.NewReader(file))
	lines.Buffer(nil, lineMax)
	for lines.Scan() {
		var line struct {
			Now   int64  `json:"now"`
			Value string `json:"value"`
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, err
		}
		answers = append(answers, said(fmt.Sprint(len(answers)), checkNow(line.Value, line.Now, known, keys)))
	}
	return answers, lines.Err()
}

func checkNow(text string, now int64, known schemas, keys *keySet) error {
	value, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return err
	}
	name, gate, err := known.record(value)
	if err != nil {
		return err
	}
	if name != "ToolGateEvent" {
		return fmt.Errorf("it is a %s", name)
	}
	claims, err := checkGrant(gate, keys)
	if err != nil {
		return err
	}
	begins, _ := claims["nbf"].(json.Number).Int64()
	ends, _ := claims["exp"].(json.Number).Int64()
	if now >= ends || begins > now+skewS {
		return fmt.Errorf("it is not its time")
	}
	return nil
}
