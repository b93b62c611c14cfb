// Signatures by other people's clients. Reads lines of JSON {method, url, keys,
// nonce, time, params}; writes for each an object of client and signature.
'use strict';
const crypto = require('crypto');
const readline = require('readline');
const OAuth = require('oauth-1.0a');
const request = require('request');
const Twit = require('twit');
const { OAuth1Helper } = require(
  'twitter-api-v2/dist/cjs/client-mixins/oauth1.helper.js');

function byTwit(c, [ck, cs, tk, ts]) {
  const t = new Twit({ consumer_key: ck, consumer_secret: cs, access_token: tk,
                       access_token_secret: ts });
  const oauth = { consumer_key: ck, consumer_secret: cs, token: tk,
                  token_secret: ts };
  // as twit fills it, but for the nonce, which request would draw
  Object.assign(oauth, { timestamp: String(c.time), nonce: c.nonce });
  const r = request({ method: c.method, url: c.url, form: c.params, oauth });
  const header = r.getHeader('Authorization');
  r.on('error', () => {});
  r.abort();
  if (!t.config) throw new Error('no twit');
  return decodeURIComponent(/oauth_signature="([^"]*)"/.exec(header)[1]);
}

function byTwitterApi(c, [ck, cs, tk, ts]) {
  const helper = new OAuth1Helper({ consumerKeys: { key: ck, secret: cs } });
  helper.getNonce = () => c.nonce;
  helper.getTimestamp = () => c.time;
  return helper.authorize({ url: c.url, method: c.method, data: c.params },
                          { key: tk, secret: ts }).oauth_signature;
}

function byOauth10a(c, [ck, cs, tk, ts]) {
  const o = new OAuth({
    consumer: { key: ck, secret: cs }, signature_method: 'HMAC-SHA1',
    hash_function: (base, key) =>
      crypto.createHmac('sha1', key).update(base).digest('base64'),
  });
  o.getNonce = () => c.nonce;
  o.getTimeStamp = () => c.time;
  return o.authorize({ url: c.url, method: c.method, data: c.params },
                     { key: tk, secret: ts }).oauth_signature;
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const c = JSON.parse(line);
  const all = { 'oauth-1.0a': byOauth10a(c, c.keys),
                'twitter-api-v2': byTwitterApi(c, c.keys) };
  if (c.twit) all.twit = byTwit(c, c.keys);
  console.log(JSON.stringify(all));
});
