package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const format = "countersign-audit-bundle/1"

type part struct {
	Partition   int64  `json:"partition"`
	Genesis     string `json:"genesis"`
	Entries     int64  `json:"entries"`
	Withheld    int64  `json:"withheld"`
	Checkpoints int64  `json:"checkpoints"`
}

type manifest struct {
	Format     string   `json:"format"`
	ClusterID  string   `json:"cluster_id"`
	JournalID  string   `json:"journal_id"`
	Audience   string   `json:"audience"`
	BalancerID string   `json:"balancer_id"`
	TenantID   *string  `json:"tenant_id"`
	PackageIDs []string `json:"decision_package_ids"`
	Partitions []part   `json:"partitions"`
	Files      map[string]struct {
		Bytes  int64  `json:"bytes"`
		SHA256 string `json:"sha256"`
	} `json:"files"`
}

type bundle struct {
	dir     string
	about   manifest
	known   schemas
	trusted *keySet
	grants  *keySet
}

func checkBundle(dir string) error {
	b := &bundle{dir: dir}
	if err := b.files(); err != nil {
		return err
	}
	var err error
	if b.known, err = readSchemas(filepath.Join(dir, "schemas")); err != nil {
		return err
	}
	if b.trusted, err = readKeys(filepath.Join(dir, "keys", "trusted.jwks.json")); err != nil {
		return fmt.Errorf("keys/trusted.jwks.json: %w", err)
	}
	if b.grants, err = readKeys(filepath.Join(dir, "keys", "grants.jwks.json")); err != nil {
		return fmt.Errorf("keys/grants.jwks.json: %w", err)
	}
	for _, one := range b.about.Partitions {
		if err := b.partition(one); err != nil {
			return err
		}
	}
	return nil
}

// files holds every byte of the bundle against the manifest, and the manifest against its digest.
func (b *bundle) files() error {
	text, err := os.ReadFile(filepath.Join(b.dir, "manifest.json"))
	if err != nil {
		return err
	}
	line, err := os.ReadFile(filepath.Join(b.dir, "manifest.sha256"))
	if err != nil {
		return err
	}
	if string(line) != fmt.Sprintf("%x  manifest.json\n", sha256.Sum256(text)) {
		return fmt.Errorf("manifest.sha256: is not the digest of manifest.json")
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&b.about); err != nil {
		return fmt.Errorf("manifest.json: %w", err)
	}
	if b.about.Format != format {
		return fmt.Errorf("manifest.json: is not of format %s", format)
	}
	seen := 0
	err = filepath.WalkDir(b.dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(b.dir, path)
		if err != nil || name == "manifest.json" || name == "manifest.sha256" {
			return err
		}
		listed, found := b.about.Files[filepath.ToSlash(name)]
		if !found || !entry.Type().IsRegular() {
			return fmt.Errorf("%s: is not in the manifest", name)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if int64(len(data)) != listed.Bytes || fmt.Sprintf("%x", sha256.Sum256(data)) != listed.SHA256 {
			return fmt.Errorf("%s: is not what the manifest says", name)
		}
		seen++
		return nil
	})
	if err == nil && seen != len(b.about.Files) {
		err = fmt.Errorf("manifest.json: names files that are not there")
	}
	return err
}

// lines calls each with every line of a file, as the JSON that it is.
func (b *bundle) lines(name string, each func(number int64, form map[string]any) error) error {
	file, err := os.Open(filepath.Join(b.dir, name))
	if err != nil {
		return err
	}
	defer file.Close()
	reader := bufio.NewReaderSize(file, 1<<20)
	for number := int64(0); ; number++ {
		line, err := reader.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: its last line does not end", name)
		}
		form, err := object(line)
		if err == nil {
			err = each(number, form)
		}
		if err != nil {
			return fmt.Errorf("%s, seq %d: %w", name, number, err)
		}
	}
}

type checkpoint struct {
	size int
	root string
	head string
}

// chain is where a partition stands while it is read.
type chain struct {
	*bundle
	part
	head      string // "" behind an entry that is withheld
	leaves    [][]byte
	whole     map[int64]bool
	withheld  int64
	reviewers map[string]string
}

func (b *bundle) partition(of part) error {
	start := sha256.Sum256([]byte(fmt.Sprintf("%s/%s/%d", b.about.ClusterID, b.about.JournalID, of.Partition)))
	if hex.EncodeToString(start[:]) != of.Genesis {
		return fmt.Errorf("manifest.json: partition %d has another genesis", of.Partition)
	}
	c := &chain{bundle: b, part: of, head: of.Genesis, whole: map[int64]bool{}, reviewers: map[string]string{}}
	signed, err := c.checkpoints()
	if err != nil {
		return err
	}
	covered := 0
	if len(signed) > 0 {
		covered = signed[len(signed)-1].size
	}
	next := 0
	err = b.lines(fmt.Sprintf("journal/%d.jsonl", of.Partition), func(number int64, form map[string]any) error {
		if err := c.line(number, form, covered); err != nil {
			return err
		}
		for ; next < len(signed) && signed[next].size == len(c.leaves); next++ {
			if signed[next].root != hex.EncodeToString(rootOf(c.leaves)) {
				return fmt.Errorf("the entries up to here are not those that checkpoint %d signed", next)
			}
			if c.head != "" && c.head != signed[next].head {
				return fmt.Errorf("checkpoint %d names another last entry", next)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if next != len(signed) {
		return fmt.Errorf("checkpoints/%d.jsonl: entries that were signed are missing", of.Partition)
	}
	if int64(len(c.leaves)) != of.Entries || c.withheld != of.Withheld || int64(len(signed)) != of.Checkpoints {
		return fmt.Errorf("manifest.json: counts something else in partition %d", of.Partition)
	}
	return c.proofs(covered)
}

func (c *chain) line(number int64, form map[string]any, covered int) error {
	if fmt.Sprint(form["seq"]) != fmt.Sprint(number) {
		return fmt.Errorf("another number stands here")
	}
	text, whole := form["value"].(string)
	if !whole {
		return c.hidden(form, covered)
	}
	value, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(form) != 2 {
		return fmt.Errorf("the line is no entry")
	}
	if err := c.entry(number, value); err != nil {
		return err
	}
	c.whole[number] = true
	c.leaves = append(c.leaves, leafHash(value))
	return nil
}

func (c *chain) hidden(form map[string]any, covered int) error {
	if c.about.TenantID == nil {
		return fmt.Errorf("an entry is withheld from a bundle of everything")
	}
	c.head = ""
	c.withheld++
	if len(c.leaves) >= covered {
		if len(form) != 1 {
			return fmt.Errorf("no checkpoint covers it, yet more than its number is given")
		}
		c.leaves = append(c.leaves, make([]byte, sha256.Size))
		return nil
	}
	leaf, err := hash(form["leaf"])
	if err != nil || len(form) != 2 {
		return fmt.Errorf("it is withheld without its leaf")
	}
	c.leaves = append(c.leaves, leaf)
	return nil
}

func hash(form any) ([]byte, error) {
	text, _ := form.(string)
	found, err := hex.DecodeString(text)
	if err != nil || len(found) != sha256.Size || strings.ToLower(text) != text {
		return nil, fmt.Errorf("it is no hash")
	}
	return found, nil
}

func (c *chain) entry(number int64, value []byte) error {
	name, entry, err := c.known.record(value)
	if err != nil {
		return err
	}
	if name != "JournalEntry" || entry["partition"] != c.Partition || entry["seq"] != number {
		return fmt.Errorf("it is not entry %d of partition %d", number, c.Partition)
	}
	before, _ := entry["prev_hash"].(string)
	own, _ := entry["hash"].(string)
	if c.head != "" && before != c.head {
		return fmt.Errorf("it does not follow the entry before it")
	}
	hashed, err := withoutHash(value, own)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(append([]byte(before), hashed...))
	if hex.EncodeToString(sum[:]) != own {
		return fmt.Errorf("its content is not what was hashed")
	}
	c.head = own
	if err := c.signature(entry); err != nil {
		return err
	}
	return c.events(entry)
}

// withoutHash is the entry's value with the field hash empty: behind the head stand two numbers and
// prev_hash, then hash.
func withoutHash(value []byte, own string) ([]byte, error) {
	reader := &reader{rest: value[headBytes:]}
	reader.long()
	reader.long()
	reader.primitive("string")
	at := len(value) - len(reader.rest)
	if reader.primitive("string") != own || reader.err != nil {
		return nil, fmt.Errorf("its hash does not stand where it should")
	}
	out := append([]byte{}, value[:at]...)
	return append(append(out, 0), reader.rest...), nil
}

// signature: of the input, where its key is among the trusted ones.
func (c *chain) signature(entry map[string]any) error {
	context, _ := entry["context"].(map[string]any)
	kid, signed := context["kid"].(string)
	if !signed {
		return nil
	}
	input, _ := entry["input"].(map[string]any)
	text := ""
	for _, one := range list(input["headers"]) {
		if header, _ := one.(map[string]any); header["name"] == "countersign-signature" {
			raw, _ := header["value"].([]byte)
			text = string(raw)
		}
	}
	if _, known := c.trusted.keys[kid]; !known {
		return nil
	}
	head := map[string]any{}
	part, _, _ := strings.Cut(text, ".")
	if err := json.Unmarshal(unbase64url([]byte(part)), &head); err != nil {
		return fmt.Errorf("its input has no signature")
	}
	typ, _ := head["typ"].(string)
	if !strings.HasPrefix(typ, "countersign-") {
		return fmt.Errorf("its input's signature is of type %s", typ)
	}
	opened, err := c.trusted.opened(text, typ)
	if err != nil {
		return fmt.Errorf("its input's signature: %w", err)
	}
	value, _ := input["value"].([]byte)
	sum := sha256.Sum256(value)
	body := base64.RawURLEncoding.EncodeToString(sum[:])
	if opened.kid != kid || opened.claims["sub"] != context["signer_id"] || opened.claims["body"] != body {
		return fmt.Errorf("its input's signature is over something else")
	}
	return nil
}

func (c *chain) events(entry map[string]any) error {
	gates := []map[string]any{}
	for number, one := range list(entry["events"]) {
		raw, _ := one.([]byte)
		name, event, err := c.known.record(raw)
		if err != nil {
			return fmt.Errorf("event %d: %w", number, err)
		}
		switch {
		case name == "HumanDecisionEvent":
			id, _ := event["event_id"].(string)
			c.reviewers[id], _ = event["reviewer_id"].(string)
		case name == "ToolGateEvent" && event["gate"] == "opened":
			gates = append(gates, event)
		}
	}
	for _, gate := range gates {
		claims, err := checkGrant(gate, c.grants)
		if err == nil {
			err = approversFit(claims, c.reviewers)
		}
		if err != nil {
			return fmt.Errorf("its grant: %w", err)
		}
	}
	return nil
}

func (c *chain) checkpoints() ([]checkpoint, error) {
	found := []checkpoint{}
	name := fmt.Sprintf("checkpoints/%d.jsonl", c.Partition)
	err := c.lines(name, func(number int64, form map[string]any) error {
		text, _ := form["value"].(string)
		value, err := base64.StdEncoding.Strict().DecodeString(text)
		if err != nil || len(form) != 2 || fmt.Sprint(form["number"]) != fmt.Sprint(number) {
			return fmt.Errorf("the line is no checkpoint")
		}
		kind, record, err := c.known.record(value)
		if err != nil {
			return err
		}
		size, _ := record["size"].(int64)
		if kind != "JournalCheckpoint" || record["partition"] != c.Partition || size <= 0 {
			return fmt.Errorf("it is no checkpoint of partition %d", c.Partition)
		}
		jws, _ := record["checkpoint_jws"].(string)
		claims, err := c.grants.byGrantKey(jws, checkpointTyp)
		if err != nil {
			return err
		}
		occurred, _ := record["occurred_at"].(int64)
		wanted := map[string]any{
			"iss": issuedBy, "journal": c.Genesis, "partition": record["partition"], "size": size,
			"root": record["root"], "head_hash": record["head_hash"],
			"occurred_at": time.UnixMicro(occurred).UTC().Format("2006-01-02T15:04:05.000000Z"),
		}
		if claim := differs(claims, wanted); claim != "" {
			return fmt.Errorf("its signature is over something else than it says (%s)", claim)
		}
		if len(found) > 0 && int(size) < found[len(found)-1].size {
			return fmt.Errorf("it covers less than the one before it")
		}
		root, _ := record["root"].(string)
		head, _ := record["head_hash"].(string)
		if err := frontierFits(list(record["frontier"]), size, root); err != nil {
			return err
		}
		found = append(found, checkpoint{int(size), root, head})
		return nil
	})
	return found, err
}

// frontierFits: the roots of the perfect subtrees make the root.
func frontierFits(frontier []any, size int64, root string) error {
	var found []byte
	bits := 0
	for rest := size; rest > 0; rest >>= 1 {
		bits += int(rest & 1)
	}
	if len(frontier) != bits {
		return fmt.Errorf("its frontier is not one of %d entries", size)
	}
	for at := len(frontier) - 1; at >= 0; at-- {
		peak, err := hash(frontier[at])
		if err != nil {
			return err
		}
		if found == nil {
			found = peak
		} else {
			found = nodeHash(peak, found)
		}
	}
	if hex.EncodeToString(found) != root {
		return fmt.Errorf("its frontier does not make its root")
	}
	return nil
}

// proofs: each whole entry under a checkpoint has one, of that checkpoint's root.
func (c *chain) proofs(covered int) error {
	if c.about.TenantID == nil {
		return nil
	}
	root := rootOf(c.leaves[:covered])
	proven := map[int64]bool{}
	err := c.lines(fmt.Sprintf("proofs/%d.jsonl", c.Partition), func(_ int64, form map[string]any) error {
		number, _ := form["seq"].(json.Number)
		seq, err := number.Int64()
		leaf, leafErr := hash(form["leaf"])
		claimed, rootErr := hash(form["root"])
		if err != nil || leafErr != nil || rootErr != nil || fmt.Sprint(form["size"]) != fmt.Sprint(covered) {
			return fmt.Errorf("it is no proof")
		}
		path := [][]byte{}
		for _, one := range list(form["path"]) {
			step, err := hash(one)
			if err != nil {
				return err
			}
			path = append(path, step)
		}
		if !c.whole[seq] || seq >= int64(covered) || !bytes.Equal(leaf, c.leaves[seq]) || !bytes.Equal(claimed, root) {
			return fmt.Errorf("it is not the proof of entry %d", seq)
		}
		if !included(leaf, seq, int64(covered), path, root) {
			return fmt.Errorf("it does not prove that entry %d is there", seq)
		}
		proven[seq] = true
		return nil
	})
	if err != nil {
		return err
	}
	for seq := range c.whole {
		if seq < int64(covered) && !proven[seq] {
			return fmt.Errorf("proofs/%d.jsonl: entry %d has no proof", c.Partition, seq)
		}
	}
	return nil
}

func unbase64url(text []byte) []byte {
	found, err := base64.RawURLEncoding.Strict().DecodeString(string(text))
	if err != nil {
		return nil
	}
	return found
}
