// bench_npm.js twit|twitter-api-v2 URL: the client's own loop; each message it
// hands out is written as a line. Status 1 if the last is missing.
// NODE_EXTRA_CA_CERTS names the authority.
'use strict';
const [, , name, url] = process.argv;

function write(message) {
  process.stdout.write(JSON.stringify(message) + '\n');
}

function fail(why) {
  console.error(name + ': the stream ended:', why);
  process.exit(1);
}

function twit() {
  const Twit = require('twit');
  const client = new Twit({ consumer_key: 'a', consumer_secret: 'b',
                            access_token: 'c', access_token_secret: 'd' });
  const stream = client.stream(url, {});
  stream.on('message', write); // at a disconnect it stops by itself
  for (const e of ['reconnect', 'error', 'parser-error'])
    stream.on(e, () => fail(e));
}

async function twitterApi() {
  const { TwitterApi, ETwitterStreamEvent } = require('twitter-api-v2');
  const client = new TwitterApi('token');
  const stream = await client.v2.getStream('', {}, { prefix: url });
  stream.on(ETwitterStreamEvent.Data, (message) => {
    write(message);
    if (message.disconnect) stream.close();
  });
  stream.on(ETwitterStreamEvent.Error, fail);
}

if (name === 'twit') twit();
else twitterApi();
