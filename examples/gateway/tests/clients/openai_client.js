// Asks the model through OpenAI's client for Node, and prints what it got as one JSON object.
//
// usage: node openai_client.js MODULE BASE_URL API_KEY

const [module_, baseURL, apiKey] = process.argv.slice(2);
const OpenAI = require(module_);

async function main() {
  const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
  const question = { model: "abcd1234", messages: [{ role: "user", content: "hello" }] };
  try {
    const whole = (await client.chat.completions.create(question)).choices[0].message.content;
    const parts = [];
    for await (const chunk of await client.chat.completions.create({ ...question, stream: true })) {
      const content = chunk.choices[0]?.delta?.content;
      if (content) parts.push(content);
    }
    return { whole, parts };
  } catch (error) {
    return { error: error.constructor.name, status: error.status, message: error.message, code: error.code };
  }
}

main().then((answer) => console.log(JSON.stringify(answer)));
