// A real OpenID Connect provider with its own small sign-in page.
//
//   node server.js CONFIG.json
//
// CONFIG: { issuer, port, certificate, key, clients, users, claims_in_id_token }; prints "READY <issuer>".
// Users: { NAME: { password, claims } }; the name is the subject unless the claims have "sub".

import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { createServer as createHttpsServer } from "node:https";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

// The modules are installed beside a copy of the lock file, not beside this file.
const require = createRequire(join(process.cwd(), "package.json"));
const { default: Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

const MAXIMUM_FORM_SIZE = 16384;
const config = JSON.parse(readFileSync(process.argv[2], "utf8"));
const users = new Map(Object.entries(config.users));
const isDisabled = (user) => user === undefined || user.disabled === true;

const account = (name) => {
  const user = users.get(name);
  if (isDisabled(user)) return undefined;
  return { accountId: name, claims: () => ({ ...user.claims, sub: user.claims.sub ?? name }) };
};

const escape = (text) => String(text).replace(/[&<>"']/g, (each) => `&#${each.charCodeAt(0)};`);

const page = (title, body) => `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>${escape(title)}</title><link rel="icon" href="data:,"></head>
<body><h1>${escape(title)}</h1>${body}</body></html>`;

const signInPage = (uid, message) =>
  page(
    "Sign in at the provider",
    `<form method="post" action="/interaction/${escape(uid)}">
<p role="alert">${escape(message)}</p>
<p><label>Name <input name="name" autocomplete="username" autofocus></label></p>
<p><label>Password <input name="password" type="password" autocomplete="current-password"></label></p>
<p><button>Sign in</button></p></form>`,
  );

const signingKey = () => {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return { ...privateKey.export({ format: "jwk" }), use: "sig", alg: "RS256", kid: randomBytes(8).toString("hex") };
};

// Signed-in is all that is asked: consent is given for every scope that the client may have.
const loadExistingGrant = async (ctx) => {
  const { client, session, provider } = ctx.oidc;
  const known = session.grantIdFor(client.clientId);
  if (known) return provider.Grant.find(known);
  const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
  grant.addOIDCScope("openid profile email groups offline_access");
  await grant.save();
  return grant;
};

const provider = new Provider(config.issuer, {
  clients: config.clients,
  findAccount: (_ctx, name) => account(name),
  loadExistingGrant,
  jwks: { keys: [signingKey()] },
  cookies: { keys: [randomBytes(32).toString("hex")] },
  claims: {
    openid: ["sub"],
    profile: ["name", "preferred_username", "upn", "onprem_upn", "onprem_sam_account_name", "onprem_sid"],
    email: ["email", "email_verified"],
    groups: ["groups"],
  },
  scopes: ["openid", "profile", "email", "groups", "offline_access"],
  conformIdTokenClaims: !config.claims_in_id_token,
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  ttl: { AccessToken: 600, IdToken: 600, Session: 3600, Grant: 3600, Interaction: 600 },
  features: {
    devInteractions: { enabled: false },
    backchannelLogout: { enabled: true },
    rpInitiatedLogout: {
      enabled: true,
      logoutSource: (ctx, form) => {
        const button = '<button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button>';
        ctx.body = page("Sign out at the provider", `${form}${button}`);
      },
      postLogoutSuccessSource: (ctx) => {
        ctx.body = page("Signed out at the provider", "");
      },
    },
  },
  renderError: (ctx, out) => {
    ctx.type = "html";
    ctx.body = page("The provider refused", `<pre>${escape(JSON.stringify(out))}</pre>`);
  },
});

const form = async (request) => {
  let text = "";
  for await (const chunk of request) {
    text += chunk;
    if (text.length > MAXIMUM_FORM_SIZE) throw new Error("the form is too long");
  }
  return new URLSearchParams(text);
};

provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/interaction/")) return next();
  const { uid, prompt, params } = await provider.interactionDetails(ctx.req, ctx.res);
  ctx.type = "html";
  if (ctx.method === "GET") {
    ctx.body = signInPage(uid, prompt.name === "login" ? `for ${params.client_id}` : prompt.name);
    return undefined;
  }
  const fields = await form(ctx.req);
  const name = fields.get("name");
  const user = users.get(name);
  if (isDisabled(user) || user.password !== fields.get("password")) {
    ctx.status = 401;
    ctx.body = signInPage(uid, "Wrong name or password");
    return undefined;
  }
  ctx.respond = false;
  return provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: name } });
});

const callback = provider.callback();
const server = config.certificate
  ? createHttpsServer({ cert: readFileSync(config.certificate), key: readFileSync(config.key) }, callback)
  : createHttpServer(callback);
server.listen(config.port, "127.0.0.1", () => console.log(`READY ${config.issuer}`));
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));
